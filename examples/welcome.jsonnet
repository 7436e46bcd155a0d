// Welcomes a person after registration, in English or German.
// Belongs in a plain hook or one with response.ignore: a hook with response.parse also fires for
// people who have an account already.
local layout = import 'layout.libsonnet';

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

// The language: what the form passed along, else what the browser prefers.
local language(ctx) =
  local payload = std.get(ctx.flow, 'transient_payload', {});
  local accepted = std.get(std.get(ctx, 'request_headers', {}), 'Accept-Language', ['']);
  local wanted = std.get(payload, 'lang', accepted[0]);
  local short = std.asciiLower(std.substr(wanted, 0, 2));
  if std.objectHas(texts, short) then short else 'en';

function(ctx)
  local addresses = [a.value for a in std.get(ctx.identity, 'verifiable_addresses', []) if a.via == 'email'];
  local name = std.get(ctx.identity.traits, 'name', {});
  local fullName = std.join(' ', [name[part] for part in ['first', 'last'] if std.objectHas(name, part)]);
  local lang = language(ctx);
  local t = texts[lang];
  local brand = layout.brand;

  local subject = t.subject % brand.name;
  local hello = if fullName == '' then t.helloAll else t.hello % fullName;
  local thanks = t.thanks % brand.name;
  local footer = t.footer % brand.url;

  // People who registered with a phone number have no address.
  if addresses == [] then error 'cancel' else {
    message: {
      from_email: 'hello@example.com',
      from_name: brand.name,
      to: [{ email: addresses[0], name: fullName, type: 'to' }],
      subject: subject,
      html: layout.page(lang, subject, layout.paragraph(hello) + layout.paragraph(thanks) + layout.button(brand.url, t.button), footer),
      text: std.join('\n\n', [hello, thanks, t.button + ': ' + brand.url, footer]) + '\n',
      tags: ['welcome', 'lang-' + lang],
      metadata: { identity_id: ctx.identity.id },
    },
  }
