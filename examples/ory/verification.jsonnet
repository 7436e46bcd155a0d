// Thanks a person who has confirmed an address: the account is validated.
//
// In kratos.yml: verification, after, with response.ignore. The code or link itself is the courier's: courier.jsonnet.
local club = import 'club.libsonnet';
local mail = import 'mail.libsonnet';

local texts = {
  en: { subject: 'Your address is confirmed', hello: 'Hello', thanks: 'thank you, your e-mail address is confirmed. You can use all of Example Club now.', button: 'Go on' },
  de: { subject: 'Deine Adresse ist bestätigt', hello: 'Hallo', thanks: 'danke, deine E-Mail-Adresse ist bestätigt. Dir steht jetzt der ganze Example Club offen.', button: 'Weiter' },
};

// confirmed is the identity with those of its e-mail addresses that are confirmed.
local confirmed(identity) =
  local listed = std.get(identity, 'verifiable_addresses');
  local is(address) = std.isObject(address) && std.get(address, 'via') == 'email' && std.get(address, 'verified') == true;
  identity { verifiable_addresses: [a for a in (if std.isArray(listed) then listed else []) if is(a)] };

function(ctx)
  local lang = mail.language(ctx, club.languages);
  local t = texts[lang];
  local person = confirmed(ctx.identity);
  // It may have been a phone number.
  if person.verifiable_addresses == [] then error 'cancel' else {
    message: club.message(mail.recipient(person), lang, {
      subject: t.subject,
      content: [club.hello(t.hello, mail.fullName(person)), t.thanks, mail.button(t.button, club.url)],
    }) { tags: ['verified'] },
  }
