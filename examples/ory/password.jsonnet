// Tells a person that their password was changed.
//
// In kratos.yml: settings, after, password, with response.ignore.
local club = import 'club.libsonnet';
local mail = import 'mail.libsonnet';

local texts = {
  en: { subject: 'Your password was changed', hello: 'Hello', changed: 'the password of your account was just changed.', advice: "If it wasn't you, recover your account now:", button: 'Recover the account' },
  de: { subject: 'Dein Passwort wurde geändert', hello: 'Hallo', changed: 'gerade wurde das Passwort deines Kontos geändert.', advice: 'Wenn du es nicht warst, stell dein Konto gleich wieder her:', button: 'Konto wiederherstellen' },
};

function(ctx)
  local lang = mail.language(ctx, club.languages);
  local t = texts[lang];
  {
    message: club.message(mail.recipient(ctx.identity), lang, {
      subject: t.subject,
      content: [club.hello(t.hello, mail.fullName(ctx.identity)), t.changed, t.advice, mail.button(t.button, club.url + '/recovery')],
    }) { tags: ['password-changed'], important: true },
  }
