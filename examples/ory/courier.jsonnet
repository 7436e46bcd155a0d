// Codes and links: what Ory's courier would send itself.
//
// In kratos.yml: courier, delivery_strategy http. Its body is courier-body.jsonnet.
local club = import 'club.libsonnet';
local mail = import 'mail.libsonnet';

local texts = {
  en: {
    hello: 'Hello',
    login: { subject: 'Sign in to Example Club', ask: 'to sign in, use this code:' },
    registration: { subject: 'Complete your registration', ask: 'to complete your registration at Example Club, use this code:' },
    verification: { subject: 'Confirm your e-mail address', ask: 'please confirm that this e-mail address is yours:', button: 'Confirm the address' },
    recovery: { subject: 'Recover your account', ask: 'to get into your account again, use this:', button: 'Recover the account' },
    changed: { subject: 'Your contact details were changed', ask: "an e-mail address or a phone number of your account was changed. If it wasn't you, write to us at once: support@example.com." },
    added: { subject: 'A new way to sign in to your account', ask: "a passkey, a security key or another way to sign in was added to your account. If it wasn't you, write to us at once: support@example.com." },
    stranger: { subject: 'Somebody entered your address', ask: 'somebody entered this address at Example Club, but there is no account with it. If it was you, try the address that you registered with.' },
    minutes: ['It is valid for ', ' minutes.'],
    minute: 'It is valid for one minute.',
    ignore: "If it wasn't you, do nothing: nobody gets in without this mail.",
  },
  de: {
    hello: 'Hallo',
    login: { subject: 'Anmeldung bei Example Club', ask: 'melde dich mit diesem Code an:' },
    registration: { subject: 'Schließ deine Anmeldung ab', ask: 'schließ deine Anmeldung bei Example Club mit diesem Code ab:' },
    verification: { subject: 'Bestätige deine E-Mail-Adresse', ask: 'bitte bestätige, dass diese E-Mail-Adresse dir gehört:', button: 'Adresse bestätigen' },
    recovery: { subject: 'Dein Konto wiederherstellen', ask: 'damit kommst du wieder in dein Konto:', button: 'Konto wiederherstellen' },
    changed: { subject: 'Deine Kontaktdaten wurden geändert', ask: 'eine E-Mail-Adresse oder Telefonnummer deines Kontos wurde geändert. Wenn du es nicht warst, schreib uns sofort: support@example.com.' },
    added: { subject: 'Neue Anmeldemethode für dein Konto', ask: 'zu deinem Konto wurde ein Passkey, ein Sicherheitsschlüssel oder eine andere Anmeldemethode hinzugefügt. Wenn du es nicht warst, schreib uns sofort: support@example.com.' },
    stranger: { subject: 'Jemand hat deine Adresse eingegeben', ask: 'jemand hat diese Adresse bei Example Club eingegeben, aber es gibt kein Konto dazu. Wenn du es warst, versuch es mit der Adresse, mit der du dich angemeldet hast.' },
    minutes: ['Gültig für ', ' Minuten.'],
    minute: 'Gültig für eine Minute.',
    ignore: 'Wenn du es nicht warst, tu nichts: ohne diese Mail kommt niemand hinein.',
  },
};

// The types of messages that there are words for.
local kinds = {
  login_code_valid: 'login',
  registration_code_valid: 'registration',
  verification_code_valid: 'verification',
  verification_valid: 'verification',
  recovery_code_valid: 'recovery',
  recovery_valid: 'recovery',
  verification_code_invalid: 'stranger',
  verification_invalid: 'stranger',
  recovery_code_invalid: 'stranger',
  recovery_invalid: 'stranger',
  verifiable_address_changed: 'changed',
  authenticator_key_added: 'added',
};
local notices = ['stranger', 'changed', 'added'];

function(ctx)
  local given = std.get(ctx, 'template_data');
  local data = if std.isObject(given) then given else {};
  local type = ctx.template_type;
  local kind = std.get(kinds, type);
  local has(field) = std.isString(std.get(data, field)) && data[field] != '';
  local code = if kind != null && has(kind + '_code') then data[kind + '_code'];
  local url = if kind != null && std.objectHas(texts.en[kind], 'button') && has(kind + '_url') then data[kind + '_url'];
  local secret = code != null || url != null;

  // What is newer than this template, or has no code where there should be one, is sent in Ory's own words, and its own HTML
  // if courier-body.jsonnet has it. These words are English unless you have translated them at Ory.
  local ours = secret || std.member(notices, kind);
  local lang = if ours then mail.language(ctx, club.languages) else 'en';
  local t = texts[lang];

  // A code may be in Ory's own words too.
  local expires = secret || !ours && (std.endsWith(type, '_valid') || [f for f in std.objectFields(data) if std.endsWith(f, '_code') && has(f)] != []);
  // Only the newest Ory says for how long, and says 0 for less than a minute.
  local said = std.get(data, 'expires_in_minutes');
  local minutes = if std.isNumber(said) then std.max(said, 1) else 15;
  local valid = if minutes == 1 then t.minute else t.minutes[0] + std.toString(minutes) + t.minutes[1];

  local content =
    if !ours then [ctx.body]
    else [club.hello(t.hello, mail.fullName(std.get(data, 'identity', data))), t[kind].ask]
         + (if code == null then [] else [mail.code(code)])
         + (if url == null then [] else [mail.button(t[kind].button, url)])
         + (if secret then [mail.small(valid), mail.small(t.ignore)] else []);

  // Text messages are not ours.
  if std.get(ctx, 'message_type', 'email') != 'email' then error 'cancel' else {
    message: club.message({ email: ctx.recipient, type: 'to' }, lang, {
      subject: if ours then t[kind].subject else ctx.subject,
      content: content,
    }) {
      [if !ours && std.isString(std.get(ctx, 'html_body')) && ctx.html_body != '' then 'html']: ctx.html_body,
      tags: [std.strReplace(type, '_', '-')],
      important: true,
      // Neither Mandrill nor the outbox keeps a code, and no link is rewritten.
      view_content_link: false,
      track_clicks: false,
      track_opens: false,
    },
    // A code that comes too late is worse than none.
    [if expires then 'delivery']: { expires_in: std.toString(minutes) + 'm' },
  }
