// Thanks a person who has confirmed an address: the account is validated.
//
// In kratos.yml: verification, after, with response.ignore. The code or link itself is the courier's: courier.jsonnet.
local club = import 'club.libsonnet';
local mail = import 'mail.libsonnet';

local texts = {
  en: { subject: 'Your address is confirmed', hello: 'Hello', thanks: 'thank you, your e-mail address is confirmed. You can use all of Example Club now.', button: 'Go on' },
  de: { subject: 'Deine Adresse ist bestätigt', hello: 'Hallo', thanks: 'danke, deine E-Mail-Adresse ist bestätigt. Dir steht jetzt der ganze Example Club offen.', button: 'Weiter' },
};

// confirmed is the address that was just confirmed: the one with the newest verified_at. It may be a phone number.
local confirmed(identity) =
  local listed = std.get(identity, 'verifiable_addresses');
  local known = [a for a in (if std.isArray(listed) then listed else []) if std.isObject(a) && std.get(a, 'verified') == true];
  // Without the Z, times of different precision sort as strings.
  local time(address) = std.rstripChars(std.toString(std.get(address, 'verified_at', '')), 'Z');
  if known == [] then {} else std.sort(known, function(a) time(a) + ' ' + std.toString(a.value))[std.length(known) - 1];

function(ctx)
  local lang = mail.language(ctx, club.languages);
  local t = texts[lang];
  local address = confirmed(ctx.identity);
  if std.get(address, 'via') != 'email' then error 'cancel' else {
    message: club.message(mail.recipient(ctx.identity { verifiable_addresses: [address] }), lang, {
      subject: t.subject,
      content: [club.hello(t.hello, mail.fullName(ctx.identity)), t.thanks, mail.button(t.button, club.url)],
    }) { tags: ['verified'] },
  }
