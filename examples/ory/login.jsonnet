// Tells a person of a sign-in to their account.
//
// In kratos.yml: login, after, with response.ignore. It is silent where a person who is signed in already confirms their
// password (flow.refresh) or adds the second factor to a sign-in (requested_aal): a notice of each is soon ignored.
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

// What User-Agent says, and what it is called. Many name others too: the first one counts.
local browsers = [['Edg', 'Edge'], ['OPR/', 'Opera'], ['SamsungBrowser/', 'Samsung Internet'], ['Firefox/', 'Firefox'], ['FxiOS/', 'Firefox'], ['Chrome/', 'Chrome'], ['CriOS/', 'Chrome'], ['Safari/', 'Safari']];
local systems = [['Android', 'Android'], ['iPhone', 'iOS'], ['iPad', 'iOS'], ['Windows', 'Windows'], ['Mac OS X', 'macOS'], ['Linux', 'Linux']];

// device is such as 'Firefox, Linux', or ''. None of the header's own words get into the mail: who signs in may write
// anything there.
local device(headers) =
  local sent = if std.isObject(headers) then std.get(headers, 'User-Agent');
  local header = if std.isArray(sent) && sent != [] then sent[0] else sent;
  local agent = if std.isString(header) then std.substr(header, 0, 500) else '';
  local known(list) = [l[1] for l in list if std.findSubstr(l[0], agent) != []][0:1];
  std.join(', ', known(browsers) + known(systems));

function(ctx)
  local lang = mail.language(ctx, club.languages);
  local t = texts[lang];
  local known = device(std.get(ctx, 'request_headers'));
  if std.get(ctx.flow, 'refresh') == true || std.get(ctx.flow, 'requested_aal') == 'aal2' then error 'cancel' else {
    message: club.message(mail.recipient(ctx.identity), lang, {
      subject: t.subject,
      content: [
        club.hello(t.hello, mail.fullName(ctx.identity)),
        t.signedIn,
        mail.small(if known == '' then t.unknown else known),
        t.advice,
        mail.button(t.button, club.url + '/settings'),
      ],
    }) { tags: ['login'] },
    // Yesterday's sign-in is no news.
    delivery: { expires_in: '2h' },
  }
