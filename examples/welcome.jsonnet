// Welcomes a person after registration, in English or German.
// Belongs in a plain hook or one with response.ignore: a hook with response.parse also fires for
// people who have an account already.
local layout = import 'layout.libsonnet';
local mail = import 'mail.libsonnet';

local texts = {
  en: {
    subject: 'Welcome to %s',
    hello: 'Hello %s,',
    helloAll: 'Hello,',
    thanks: 'thank you for joining %s. Your account is ready.',
    button: 'Take a look around',
    footer: 'You get this mail because somebody registered at %s with your address.',
  },
  de: {
    subject: 'Willkommen bei %s',
    hello: 'Hallo %s,',
    helloAll: 'Hallo,',
    thanks: 'schön, dass du bei %s bist. Dein Konto ist bereit.',
    button: 'Sieh dich um',
    footer: 'Du bekommst diese Mail, weil sich jemand auf %s mit deiner Adresse angemeldet hat.',
  },
};

function(ctx)
  local fullName = mail.fullName(ctx.identity);
  local lang = mail.language(ctx, ['en', 'de']);
  local t = texts[lang];
  local brand = layout.brand;

  local subject = t.subject % brand.name;
  local hello(name) = if name == '' then t.helloAll else t.hello % name;
  local thanks = t.thanks % brand.name;
  local footer = t.footer % brand.url;

  {
    message: {
      from_email: 'hello@example.com',
      from_name: brand.name,
      // For people who registered with a phone number, this cancels: they have no address.
      to: [mail.recipient(ctx.identity)],
      subject: subject,
      html: layout.page(lang, subject, layout.paragraph(hello(fullName)) + layout.paragraph(thanks) + layout.button(brand.url, t.button), footer),
      text: std.join('\n\n', [hello(mail.text(fullName)), thanks, t.button + ': ' + brand.url, footer]) + '\n',
      tags: ['welcome', 'lang-' + lang],
      metadata: { identity_id: ctx.identity.id },
    },
  }
