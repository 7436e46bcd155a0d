// Welcomes a person after registration.
//
// In kratos.yml: registration, after, as a hook with response.ignore, or a plain one. Not with response.parse: such a
// hook fires before the account is stored, and for people who have an account already.
local club = import 'club.libsonnet';
local mail = import 'mail.libsonnet';

local texts = {
  en: {
    subject: 'Welcome to Example Club',
    hello: 'Hello',
    thanks: 'thank you for joining Example Club. Your account is ready.',
    button: 'Take a look around',
  },
  de: {
    subject: 'Willkommen bei Example Club',
    hello: 'Hallo',
    thanks: 'schön, dass du bei Example Club bist. Dein Konto ist bereit.',
    button: 'Sieh dich um',
  },
};

function(ctx)
  local lang = mail.language(ctx, club.languages);
  local t = texts[lang];
  {
    message: club.message(mail.recipient(ctx.identity), lang, {
      subject: t.subject,
      content: [club.hello(t.hello, mail.fullName(ctx.identity)), t.thanks, mail.button(t.button, club.url)],
    }) { tags: ['welcome', 'lang-' + lang], metadata: { identity_id: ctx.identity.id } },
  }
