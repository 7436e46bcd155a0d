// Tells the old address of a person that the account has a new one.
//
// In kratos.yml: settings, after, profile, with response.ignore. The hook fires after each change of the profile, and even if
// nothing changed; `identity` is what is stored now, `flow.identity` what was before.
//
// Not for a project with the hook verify_new_address of the newest Ory: the hook then comes after the confirmation, and
// `flow.identity` is new too. There, use Ory's hook notify_previous_addresses instead, which goes through the courier.
local club = import 'club.libsonnet';
local mail = import 'mail.libsonnet';

local texts = {
  en: { subject: 'Your e-mail address was changed', hello: 'Hello', changed: 'your account at Example Club has a new e-mail address now. We write to this one for the last time.', advice: "If it wasn't you, write to us at once: support@example.com." },
  de: { subject: 'Deine E-Mail-Adresse wurde geändert', hello: 'Hallo', changed: 'dein Konto bei Example Club hat jetzt eine neue E-Mail-Adresse. An diese hier schreiben wir zum letzten Mal.', advice: 'Wenn du es nicht warst, schreib uns sofort: support@example.com.' },
};

function(ctx)
  local before = ctx.flow.identity;
  local lang = mail.language(ctx, club.languages);
  local t = texts[lang];
  if mail.address(before) == mail.address(ctx.identity) then error 'cancel' else {
    message: club.message(mail.recipient(before), lang, {
      subject: t.subject,
      content: [club.hello(t.hello, mail.fullName(before)), t.changed, t.advice],
    }) { tags: ['address-changed'], important: true },
  }
