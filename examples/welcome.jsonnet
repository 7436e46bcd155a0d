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

// A field of an object, or null where there is none. What a form passes along can be anything.
local field(object, name) = if std.isObject(object) then std.get(object, name);

// The language: what the form passed along, else what the browser prefers.
local language(ctx) =
  local passed = field(field(ctx.flow, 'transient_payload'), 'lang');
  local accepted = field(field(ctx, 'request_headers'), 'Accept-Language');
  local wanted = [w for w in [passed] + (if std.isArray(accepted) then accepted else []) if std.isString(w)];
  local short = if wanted == [] then '' else std.asciiLower(std.substr(wanted[0], 0, 2));
  if std.objectHas(texts, short) then short else 'en';

function(ctx)
  local verifiable = field(ctx.identity, 'verifiable_addresses');
  local addresses = [a.value for a in (if verifiable == null then [] else verifiable) if a.via == 'email'];
  local fullName = mail.fullName(ctx.identity);
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
