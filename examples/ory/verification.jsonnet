// Thanks a person who has confirmed an address: the account is validated.
//
// In kratos.yml: verification, after, with response.ignore. The code or link itself is the courier's: courier.jsonnet.
local club = import 'club.libsonnet';
local mail = import 'mail.libsonnet';

local texts = {
  en: { subject: 'Your address is confirmed', hello: 'Hello', thanks: 'thank you, your e-mail address is confirmed. You can use all of Example Club now.', button: 'Go on' },
  de: { subject: 'Deine Adresse ist bestätigt', hello: 'Hallo', thanks: 'danke, deine E-Mail-Adresse ist bestätigt. Dir steht jetzt der ganze Example Club offen.', button: 'Weiter' },
};

function(ctx)
  local lang = mail.language(ctx, club.languages);
  local t = texts[lang];
  {
    message: club.message(mail.recipient(ctx.identity), lang, {
      subject: t.subject,
      content: [club.hello(t.hello, mail.fullName(ctx.identity)), t.thanks, mail.button(t.button, club.url)],
    }) { tags: ['verified'] },
  }
