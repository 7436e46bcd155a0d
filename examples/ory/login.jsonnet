// Tells a person of a sign-in to their account.
//
// In kratos.yml: login, after, with response.ignore.
local club = import 'club.libsonnet';
local mail = import 'mail.libsonnet';

local texts = {
  en: {
    subject: 'New sign-in to your account',
    hello: 'Hello',
    signedIn: 'somebody has just signed in to your account with this browser or app:',
    unknown: 'unknown',
    advice: "If it was you, all is well. If it wasn't, change your password now:",
    button: 'Change the password',
  },
  de: {
    subject: 'Neue Anmeldung bei deinem Konto',
    hello: 'Hallo',
    signedIn: 'gerade hat sich jemand bei deinem Konto angemeldet, mit diesem Browser oder dieser App:',
    unknown: 'unbekannt',
    advice: 'Wenn du es warst, ist alles gut. Wenn nicht, ändere gleich dein Passwort:',
    button: 'Passwort ändern',
  },
};

function(ctx)
  local lang = mail.language(ctx, club.languages);
  local t = texts[lang];
  local agent = std.get(std.get(ctx, 'request_headers', {}), 'User-Agent', [t.unknown])[0];
  {
    message: club.message(mail.recipient(ctx.identity), lang, {
      subject: t.subject,
      content: [
        club.hello(t.hello, mail.fullName(ctx.identity)),
        t.signedIn,
        mail.small(agent),
        t.advice,
        mail.button(t.button, club.url + '/settings'),
      ],
    }) { tags: ['login'] },
    // Yesterday's sign-in is no news.
    delivery: { expires_in: '2h' },
  }
