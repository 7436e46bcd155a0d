// Tells a person that an account of another provider, such as Google, was linked to theirs or unlinked.
//
// In kratos.yml: settings, after, oidc, with response.ignore. ctx doesn't say which provider it was.
local club = import 'club.libsonnet';
local mail = import 'mail.libsonnet';

local texts = {
  en: { subject: 'Your linked accounts were changed', hello: 'Hello', changed: 'an account of another provider, such as Google or Apple, was just linked to your account or unlinked. You sign in with linked accounts.', advice: "If it wasn't you, look at your settings now:", button: 'Open the settings' },
  de: { subject: 'Deine verknüpften Konten wurden geändert', hello: 'Hallo', changed: 'gerade wurde ein Konto eines anderen Anbieters, etwa Google oder Apple, mit deinem verknüpft oder davon gelöst. Mit verknüpften Konten meldest du dich an.', advice: 'Wenn du es nicht warst, sieh gleich in deinen Einstellungen nach:', button: 'Einstellungen öffnen' },
};

function(ctx)
  local lang = mail.language(ctx, club.languages);
  local t = texts[lang];
  {
    message: club.message(mail.recipient(ctx.identity), lang, {
      subject: t.subject,
      content: [club.hello(t.hello, mail.fullName(ctx.identity)), t.changed, t.advice, mail.button(t.button, club.url + '/settings')],
    }) { tags: ['linked'], important: true },
  }
