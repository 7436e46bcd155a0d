// What all mails of these examples share: the sender, the languages and the frame.
local mail = import 'mail.libsonnet';

local footers = {
  en: 'Example Club, 1 High Street, Oxford. You get this mail because somebody uses this address at www.example.com.',
  de: 'Example Club, 1 High Street, Oxford. Du bekommst diese Mail, weil jemand diese Adresse auf www.example.com verwendet.',
};

{
  name: 'Example Club',
  url: 'https://www.example.com',

  // The first one is for those who ask for none of them.
  languages: ['en', 'de'],

  // hello greets by name, if there is one.
  hello(words, name):: if name == '' then words + ',' else [words + ' ', mail.strong(name), ','],

  // message writes `parts` (a subject and content, see docs/mail.md) to a recipient.
  message(to, lang, parts)::
    mail.layout(parts { lang: lang, brand: { name: $.name, url: $.url, color: '#1a5fb4' }, footer: footers[lang] }) {
      from_email: 'hello@example.com',
      from_name: $.name,
      to: [to],
    },
}
