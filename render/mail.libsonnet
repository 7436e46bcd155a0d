// What mail templates need: escaping, a recipient, a name, a language, and a layout. See docs/mail.md.
//
//   local mail = import 'mail.libsonnet';
//
// Strings that are handed to it are text, never HTML: it escapes them, and takes the meaning from Mandrill's merge
// tags in them. It uses + and functions that are native to the interpreter, which are many times faster than %.

// gap breaks merge tags where no entity can: it has no width.
local gap = '\u200b';

local textOf(value) = if value == null then '' else if std.isString(value) then value else std.toString(value);

// at walks into a value, and is null where the way ends.
local at(value, path) = std.foldl(
  function(v, key) if std.isObject(v) && std.objectHas(v, key) then v[key] else null, path, value
);

local strings(values) = [v for v in values if std.isString(v) && v != ''];

// words is a string on one line, without surplus white space.
local words(value) =
  local spaced = std.foldl(function(s, c) std.strReplace(s, c, ' '), ['\r', '\n', '\t', '\u0000', '\u2028', '\u2029'], value);
  std.join(' ', [word for word in std.split(spaced, ' ') if word != '']);

local escape(value) =
  std.strReplace(std.strReplace(std.strReplace(std.strReplace(std.strReplace(
    std.strReplace(std.strReplace(textOf(value), '&', '&amp;'), '<', '&lt;'), '>', '&gt;'
  ), '"', '&quot;'), "'", '&#39;'), '|', '&#124;'), '{', '&#123;');

local plain(value) =
  std.strReplace(std.strReplace(std.strReplace(textOf(value), '*', '*' + gap), '|', gap + '|'), '{', gap + '{' + gap);

// checked is a link that can't run code, without merge tags.
local checked(url) =
  local lower = std.asciiLower(textOf(url));
  if std.startsWith(lower, 'https://') || std.startsWith(lower, 'http://') || std.startsWith(lower, 'mailto:')
  then std.foldl(
    function(s, c) std.strReplace(s, c[0], c[1]),
    [[' ', '%20'], ['\r', ''], ['\n', ''], ['|', '%7C'], ['{', '%7B'], ['*', '%2A']], url
  )
  else error 'mail.libsonnet: a link must begin with https://, http:// or mailto:';

// An element has HTML and text. What marks it is hidden: data can't pass for one, for it has no hidden fields.
local element(html, text) = { element:: 'inline', html: html, text: text };
local kind(content) =
  if std.isObject(content) && std.objectHasAll(content, 'element') && !std.objectHas(content, 'element') then content.element;

// inline is a string, an inline element, or an array of them, as HTML and as text.
local inline(content) =
  if std.isArray(content) then
    local parts = [inline(part) for part in content];
    { html: std.join('', [p.html for p in parts]), text: std.join('', [p.text for p in parts]) }
  else if kind(content) != null then content
  else {
    html: std.strReplace(std.strReplace(escape(content), '\r', ''), '\n', '<br>'),
    text: plain(std.strReplace(textOf(content), '\r', '')),
  };

// languages

local lower(tag) = std.strReplace(std.asciiLower(std.trim(tag)), '_', '-');
local primary(tag) = std.splitLimit(tag, '-', 1)[0];

// match is the language that a tag asks for, or null.
local match(languages, tag) =
  local wanted = lower(tag);
  local exact = [l for l in languages if lower(l) == wanted];
  local close = [l for l in languages if primary(lower(l)) == primary(wanted)];
  if exact != [] then exact[0] else if close != [] then close[0] else null;

// accepted is the language that an Accept-Language header likes best, or null. Weights are compared as strings, which
// orders 0.85, 0.9 and 1 as numbers do, and can't fail.
local accepted(languages, header) =
  local weigh(part) =
    local fields = std.split(part, ';');
    local q = [std.trim(f)[2:] for f in fields[1:] if std.startsWith(lower(f), 'q=')];
    local weight = if q == [] then '1' else if std.startsWith(q[0], '0') || std.startsWith(q[0], '1') then q[0] else '0';
    { language: match(languages, fields[0]), weight: std.rstripChars(weight, '.0') };
  std.foldl(
    function(best, p) if p.language != null && p.weight > best.weight then p else best,
    [weigh(part) for part in std.splitLimit(header, ',', 30)],
    { language: null, weight: '' }
  ).language;

// layout

local colors = { page: '#f4f4f5', card: '#ffffff', text: '#18181b', muted: '#71717a', brand: '#1a5fb4' };

local style = |||
  <style>
  :root { color-scheme: light dark; supported-color-schemes: light dark; }
  @media (max-width: 480px) {
  .card { padding: 24px 20px !important; border-radius: 0 !important; }
  .outer { padding: 0 !important; }
  .button { display: block !important; text-align: center !important; }
  }
  @media (prefers-color-scheme: dark) {
  .page { background: #18181b !important; }
  .card { background: #27272a !important; color: #f4f4f5 !important; }
  .muted { color: #a1a1aa !important; }
  .brand, .link { color: #f4f4f5 !important; }
  .button { border-color: #a1a1aa !important; }
  .code { background: #3f3f46 !important; }
  }
  </style>
|||;

local font = 'font-family:-apple-system,BlinkMacSystemFont,Segoe UI,Roboto,Helvetica,Arial,sans-serif';

local rtl(lang) = std.member(['ar', 'fa', 'he', 'ur'], primary(lower(lang)));

local head(lang, subject) =
  '<!DOCTYPE html>\n<html lang="' + escape(lang) + '" dir="' + (if rtl(lang) then 'rtl' else 'ltr') + '">\n'
  + '<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
  + '<meta name="color-scheme" content="light dark">\n<meta name="supported-color-schemes" content="light dark">\n'
  + '<title>' + escape(subject) + '</title>\n' + style + '</head>\n';

local masthead(brand, color) =
  local name = escape(std.get(brand, 'name', ''));
  local logo = std.get(brand, 'logo', '');
  local shown = if logo == '' then name else '<img src="' + escape(checked(logo)) + '" alt="' + name + '" height="32" style="height:32px;border:0">';
  local url = std.get(brand, 'url', '');
  if shown == '' then ''
  else '<p style="margin:0 0 28px;font-size:18px;font-weight:bold">'
       + (if url == '' then '<span class="brand" style="color:' + color + '">' + shown + '</span>'
          else '<a class="brand" href="' + escape(checked(url)) + '" style="color:' + color + ';text-decoration:none">' + shown + '</a>')
       + '</p>\n';

local block(html, text) = { element:: 'block', html: html + '\n', text: text };

local paragraph(content) =
  local c = inline(content);
  if kind(content) == 'block' then content
  else block('<p style="margin:0 0 16px">' + c.html + '</p>', c.text);

{
  // html is a value as the text of an HTML element or attribute.
  html(value):: escape(value),

  // text is a value for plain text and subjects.
  text(value):: plain(value),

  // address is the e-mail address of an identity, or null. Their order is random: that of traits.email is preferred,
  // then a verified one.
  address(identity)::
    local of(list) = [a for a in (if std.isArray(list) then list else []) if at(a, ['via']) == 'email' && strings([at(a, ['value'])]) != []];
    local typed = at(identity, ['traits', 'email']);
    local known = of(at(identity, ['verifiable_addresses']));
    local candidates = [a.value for a in known if std.isString(typed) && std.equalsIgnoreCase(a.value, typed)]
                       + std.sort([a.value for a in known if at(a, ['verified']) == true])
                       + std.sort([a.value for a in known])
                       + std.sort([a.value for a in of(at(identity, ['recovery_addresses']))])
                       + [t for t in strings([typed]) if std.member(t, '@')];
    if candidates == [] then null else candidates[0],

  // recipient is an element of `to`. Where the identity has no e-mail address, no mail is sent.
  recipient(identity)::
    local email = $.address(identity);
    local name = $.fullName(identity);
    if email == null then error 'cancel'
    else { email: email, type: 'to' } + (if name == '' then {} else { name: plain(name) }),

  // fullName is what there is of a person's name, on one line, or ''.
  fullName(identity)::
    local traits = at(identity, ['traits']);
    local name = at(traits, ['name']);
    local part(keys) = (strings([at(from, [key]) for from in [name, traits] for key in keys]) + [''])[0];
    words(if std.isString(name) then name
          else part(['first', 'first_name', 'given_name']) + ' ' + part(['last', 'last_name', 'family_name'])),

  // language is one of the languages: the one that the form passed along, else that of the person's traits or public
  // metadata, else the one that the browser likes best, else the first.
  language(ctx, languages)::
    local data = at(ctx, ['template_data']);
    local identity = [at(ctx, ['identity']), at(data, ['identity']), data, at(ctx, ['flow', 'identity'])];
    local places = [at(ctx, ['flow', 'transient_payload']), at(data, ['transient_payload'])]
                   + [at(i, ['traits']) for i in identity] + [at(i, ['metadata_public']) for i in identity];
    local asked = strings([at(place, [key]) for place in places for key in ['lang', 'language', 'locale']]);
    local found = [l for l in [match(languages, tag) for tag in asked] if l != null];
    local header = at(ctx, ['request_headers', 'Accept-Language']);
    local liked = accepted(languages, std.join(',', if std.isArray(header) then strings(header) else strings([header])));
    if found != [] then found[0] else if liked != null then liked else languages[0],

  // Inline elements, for the arrays that blocks take.
  strong(content):: local c = inline(content); element('<strong>' + c.html + '</strong>', c.text),
  link(content, url)::
    local c = inline(content);
    element('<a class="link" href="' + escape(checked(url)) + '" style="color:' + colors.brand + '">' + c.html + '</a>', c.text + ' (' + checked(url) + ')'),

  // Blocks, for the content of a layout. A string or an array is a paragraph too.
  paragraph(content):: paragraph(content),
  heading(content)::
    local c = inline(content);
    block('<h1 style="margin:0 0 16px;font-size:24px;line-height:32px;font-weight:bold">' + c.html + '</h1>', c.text),
  button(content, url, color=colors.brand)::
    local c = inline(content);
    block(
      '<p style="margin:28px 0"><a class="button" href="' + escape(checked(url)) + '" style="display:inline-block;padding:12px 24px;border:1px solid '
      + escape(color) + ';border-radius:6px;background:' + escape(color) + ';color:#ffffff;font-weight:bold;text-decoration:none">' + c.html + '</a></p>',
      c.text + ':\n' + checked(url)
    ),
  code(content)::
    local c = inline(content);
    block(
      '<p class="code" style="margin:24px 0;padding:16px;border-radius:6px;background:' + colors.page
      + ';font-family:Menlo,Consolas,monospace;font-size:28px;line-height:36px;letter-spacing:4px;text-align:center">' + c.html + '</p>', c.text
    ),
  small(content)::
    local c = inline(content);
    block('<p class="muted" style="margin:0 0 16px;font-size:14px;line-height:20px;color:' + colors.muted + '">' + c.html + '</p>', c.text),

  // layout is subject, html and text of a message, from { subject, content } and what it may have beside them:
  // lang, preview (what inboxes show after the subject), brand ({ name, url, logo, color }), footer.
  layout(mail)::
    local brand = std.get(mail, 'brand', {});
    local lang = std.get(mail, 'lang', 'en');
    local preview = std.get(mail, 'preview', '');
    local blocks = [paragraph(c) for c in mail.content];
    local footer = inline(std.get(mail, 'footer', ''));
    local table = '<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"';
    {
      subject: plain(words(textOf(mail.subject))),
      html: head(lang, mail.subject)
            + '<body class="page" style="margin:0;padding:0;background:' + colors.page + '">\n'
            + (if preview == '' then '' else '<div style="display:none;max-height:0;overflow:hidden">' + escape(preview) + '</div>\n')
            + table + ' class="page" style="background:' + colors.page + '"><tr><td class="outer" align="center" style="padding:32px 12px">\n'
            + '<!--[if mso]><table role="presentation" width="560"><tr><td><![endif]-->\n'
            + table + ' style="max-width:560px"><tr><td class="card" align="' + (if rtl(lang) then 'right' else 'left')
            + '" style="padding:36px 40px;border-radius:8px;background:' + colors.card + ';color:' + colors.text + ';' + font
            + ';font-size:16px;line-height:24px;overflow-wrap:anywhere">\n'
            + masthead(brand, escape(std.get(brand, 'color', colors.brand)))
            + std.join('', [b.html for b in blocks])
            + (if footer.html == '' then '' else '<p class="muted" style="margin:32px 0 0;font-size:13px;line-height:20px;color:' + colors.muted + '">' + footer.html + '</p>\n')
            + '</td></tr></table>\n<!--[if mso]></td></tr></table><![endif]-->\n</td></tr></table>\n</body>\n</html>\n',
      text: std.join('\n\n', [b.text for b in blocks]) + (if footer.text == '' then '' else '\n\n-- \n' + footer.text) + '\n',
    },
}
