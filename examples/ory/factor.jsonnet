// Tells a person that a second factor, a passkey or a security key was added to their account or removed.
//
// In kratos.yml: settings, after, hooks, with response.ignore: this list is for all methods that have none of their own. ctx
// doesn't say which method it was. The newest Ory can send such a notice through its courier (authenticator_key_added).
local club = import 'club.libsonnet';
local mail = import 'mail.libsonnet';

local texts = {
  en: { subject: 'Your sign-in was changed', hello: 'Hello', changed: 'a second factor, passkey or security key was just added to your account or removed.', advice: "If it wasn't you, recover your account now:", button: 'Recover the account' },
  de: { subject: 'Deine Anmeldung wurde geändert', hello: 'Hallo', changed: 'gerade wurde bei deinem Konto ein zweiter Faktor, ein Passkey oder ein Sicherheitsschlüssel hinzugefügt oder entfernt.', advice: 'Wenn du es nicht warst, stell dein Konto gleich wieder her:', button: 'Konto wiederherstellen' },
};

function(ctx)
  local lang = mail.language(ctx, club.languages);
  local t = texts[lang];
  {
    message: club.message(mail.recipient(ctx.identity), lang, {
      subject: t.subject,
      content: [club.hello(t.hello, mail.fullName(ctx.identity)), t.changed, t.advice, mail.button(t.button, club.url + '/recovery')],
    }) { tags: ['factor-changed'], important: true },
  }
