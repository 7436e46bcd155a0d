// Tells a person that their account was recovered.
//
// In kratos.yml: recovery, after, with response.ignore. The code or link itself is the courier's: courier.jsonnet.
local club = import 'club.libsonnet';
local mail = import 'mail.libsonnet';

local texts = {
  en: { subject: 'Your account was recovered', hello: 'Hello', done: 'somebody has just recovered your account by a code or link that we had sent to you.', advice: "If it wasn't you, write to us at once: support@example.com." },
  de: { subject: 'Dein Konto wurde wiederhergestellt', hello: 'Hallo', done: 'gerade hat jemand dein Konto wiederhergestellt, mit einem Code oder Link, den wir dir geschickt hatten.', advice: 'Wenn du es nicht warst, schreib uns sofort: support@example.com.' },
};

function(ctx)
  local lang = mail.language(ctx, club.languages);
  local t = texts[lang];
  {
    message: club.message(mail.recipient(ctx.identity), lang, {
      subject: t.subject,
      content: [club.hello(t.hello, mail.fullName(ctx.identity)), t.done, t.advice],
    }) { tags: ['recovered'] },
  }
