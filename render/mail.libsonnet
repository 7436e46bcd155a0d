// What mail templates need: escaping, a recipient, a name, a language, and a layout. See docs/mail.md.
//
//   local mail = import 'mail.libsonnet';
//
// Strings that are handed to it are text, never HTML: it escapes them, and takes the meaning from Mandrill's merge
// tags in them. It uses +, and those functions of std that are native to the interpreter: the others are many times slower.

// gap breaks merge tags where no entity can: it has no width.
local gap = '\u200b';

local isString(v) = std.type(v) == 'string';
local isObject(v) = std.type(v) == 'object';
local isArray(v) = std.type(v) == 'array';
local has(o, key) = std.objectHasEx(o, key, false);
local get(o, key, default) = if has(o, key) then o[key] else default;
local split(s, by) = std.splitLimit(s, by, -1);
local contains(s, part) = std.length(std.splitLimit(s, part, 1)) > 1;

local textOf(value) = if value == null then '' else if isString(value) then value else std.toString(value);

// at is a field of what may be no object, or null.
local at(o, key) = if isObject(o) && has(o, key) then o[key];
local stringAt(o, key) = local v = at(o, key); if isString(v) then v else '';

// first is the first of the values that isn't `none`, else `none`. Those behind it are not evaluated.
local first(values, none, i=0) =
  if i >= std.length(values) then none else if values[i] != none then values[i] else first(values, none, i + 1);

// words is a string on one line, without surplus white space.
local words(value) =
  local spaced = std.strReplace(std.strReplace(std.strReplace(std.strReplace(value, '\r', ' '), '\n', ' '), '\t', ' '), '\u0000', ' ');
  std.join(' ', [word for word in split(spaced, ' ') if word != '']);

local escape(value) =
  std.strReplace(std.strReplace(std.strReplace(std.strReplace(std.strReplace(
    std.strReplace(std.strReplace(textOf(value), '&', '&amp;'), '<', '&lt;'), '>', '&gt;'
  ), '"', '&quot;'), "'", '&#39;'), '|', '&#124;'), '{', '&#123;');

local plain(value) =
  std.strReplace(std.strReplace(std.strReplace(textOf(value), '*', '*' + gap), '|', gap + '|'), '{', gap + '{' + gap);

// visible is a string without what nobody sees and what turns the direction of text round. Joiners stay: names have them.
local visible(value) =
  local isHidden(c) =
    c == '\u00ad' || c == '\u061c' || c == '\u180e' || c == '\u200b' || c == '\u200e' || c == '\u200f'
    || c >= '\u2028' && c <= '\u202e' || c >= '\u2060' && c <= '\u206f' || c == '\ufeff' || c >= '\ufff9' && c <= '\ufffb';
  if std.length(std.encodeUTF8(value)) == std.length(value) then value
  else std.join('', [c for c in std.stringChars(value) if !isHidden(c)]);

local isControl(c) = c < ' ' || c >= '\u007f' && c <= '\u009f';

// hasLink is true if mail programs could make a link of what is in a string: of a scheme, of a host, which has a dot between
// something and two letters, of an IP address, or of a telephone number, which has seven digits.
local hasLink(value) =
  local isLetter(c) = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '\u00c0' && (c < '\u2000' || c > '\u3000');
  local isDigit(c) = c >= '0' && c <= '9';
  local isSpace(c) = c == ' ' || c == '\u00a0' || c >= '\u2000' && c <= '\u200a' || c == '\u202f' || c == '\u3000';
  local parts = split(std.strReplace(std.strReplace(value, '\u200c', ''), '\u200d', ''), '.');
  local isDotted(before, after) =
    before != '' && after != ''
    && (local last = before[std.length(before) - 1];
        isDigit(last) && isDigit(after[0])
        || !isSpace(last) && std.length(after) > 1 && isLetter(after[0]) && isLetter(after[1]));
  local lower = std.asciiLower(value);
  contains(lower, '://') || contains(lower, 'mailto:') || contains(lower, 'tel:')
  || [i for i in std.range(1, std.length(parts) - 1) if isDotted(parts[i - 1], parts[i])] != []
  || std.length([c for c in std.stringChars(value) if isDigit(c)]) > 6;

// checked is a link that can't run code, without merge tags.
local checked(url) =
  local begins(scheme) = isString(url) && std.equalsIgnoreCase(std.substr(url, 0, std.length(scheme)), scheme);
  if begins('https://') || begins('http://') || begins('mailto:')
  then std.strReplace(std.strReplace(std.strReplace(std.strReplace(std.strReplace(
    std.strReplace(url, ' ', '%20'), '\r', ''
  ), '\n', ''), '|', '%7C'), '{', '%7B'), '*', '%2A')
  else error 'mail.libsonnet: a link must begin with https://, http:// or mailto:';

// An element has HTML and text. What marks it is hidden: data can't pass for one, for it has no hidden fields.
local element(html, text) = { element:: 'inline', html: html, text: text };
local kind(content) =
  if isObject(content) && std.objectHasEx(content, 'element', true) && !has(content, 'element') then content.element;

// inline is a string, an inline element, or an array of them, as HTML and as text.
local inline(content) =
  if isArray(content) then
    local parts = [inline(part) for part in content];
    { html: std.join('', [p.html for p in parts]), text: std.join('', [p.text for p in parts]) }
  else if kind(content) != null then content
  else {
    html: std.strReplace(std.strReplace(escape(content), '\r', ''), '\n', '<br>'),
    text: plain(std.strReplace(textOf(content), '\r', '')),
  };

// languages

local clean(tag) = std.strReplace(std.trim(tag), '_', '-');
local primary(tag) = std.splitLimit(tag, '-', 1)[0];

// match is the language that a tag asks for, or null: the one that shares the most subtags with it from the left, all of its
// own; else one that is primarily the same.
local match(languages, tag) =
  local wanted = clean(tag);
  local within = [l for l in languages if std.equalsIgnoreCase(clean(l) + '-', std.substr(wanted + '-', 0, std.length(clean(l)) + 1))];
  local close = [l for l in languages if std.equalsIgnoreCase(primary(clean(l)), primary(wanted))];
  if within != [] then std.foldl(function(best, l) if std.length(clean(l)) > std.length(clean(best)) then l else best, within, within[0])
  else if close != [] then close[0] else null;

// accepted is the language that a tag, or the value of an Accept-Language header, likes best, or null. Weights are compared
// as strings, which orders 0.85, 0.9 and 1 as numbers do, and can't fail.
local accepted(languages, header) =
  local weigh(part) =
    local fields = split(part, ';');
    local q = [std.substr(std.trim(f), 2, 9) for f in fields if std.equalsIgnoreCase(std.substr(std.trim(f), 0, 2), 'q=')];
    local weight = if q == [] then '1' else if std.member(['0', '1'], std.substr(q[0], 0, 1)) then q[0] else '0';
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

local rtl(lang) = std.member(['ar', 'fa', 'he', 'ur'], primary(clean(lang)));

local head(lang, subject) =
  '<!DOCTYPE html>\n<html lang="' + escape(lang) + '" dir="' + (if rtl(lang) then 'rtl' else 'ltr') + '">\n'
  + '<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
  + '<meta name="color-scheme" content="light dark">\n<meta name="supported-color-schemes" content="light dark">\n'
  + '<title>' + escape(subject) + '</title>\n' + style + '</head>\n';

local masthead(brand, color) =
  local name = escape(get(brand, 'name', ''));
  local logo = get(brand, 'logo', '');
  local shown = if logo == '' then name else '<img src="' + escape(checked(logo)) + '" alt="' + name + '" height="32" style="height:32px;border:0">';
  local url = get(brand, 'url', '');
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
    local listed(field) = local list = at(identity, field); [a for a in (if isArray(list) then list else []) if at(a, 'via') == 'email' && stringAt(a, 'value') != ''];
    local typed = stringAt(at(identity, 'traits'), 'email');
    local known = listed('verifiable_addresses');
    local found = first([
      [a.value for a in known if std.equalsIgnoreCase(a.value, typed)],
      std.sort([a.value for a in known if at(a, 'verified') == true]),
      std.sort([a.value for a in known]),
      std.sort([a.value for a in listed('recovery_addresses')]),
      if std.member(typed, '@') then [typed] else [],
    ], []);
    if found != [] then found[0],

  // recipient is an element of `to`. Where the identity has no e-mail address, no mail is sent.
  recipient(identity)::
    local email = $.address(identity);
    local name = $.fullName(identity);
    if email == null then error 'cancel'
    else { email: email, type: 'to' } + (if name == '' then {} else { name: plain(name) }),

  // fullName is what there is of a person's name, on one line, or ''. Anybody can have a mail sent to a stranger by registering
  // with their address: what has a link is no name, and a name ends somewhere.
  fullName(identity)::
    local traits = at(identity, 'traits');
    local name = at(traits, 'name');
    // It is cut before anything else: a long name must not take long.
    local named(from, given, family) = words(std.substr(stringAt(from, given), 0, 1000) + ' ' + std.substr(stringAt(from, family), 0, 1000));
    local full = first([if isString(name) then words(std.substr(name, 0, 1000)) else ''] + [
      named(from, keys[0], keys[1])
      for from in [name, traits]
      for keys in [['first', 'last'], ['first_name', 'last_name'], ['given_name', 'family_name'], ['firstName', 'lastName']]
    ] + [
      named(traits, key, '')
      for key in ['full_name', 'fullName', 'display_name', 'displayName']
    ], '');
    local short = std.join('', [c for c in std.stringChars(std.substr(visible(full), 0, 100)) if !isControl(c)]);
    if hasLink(short) then '' else short,

  // language is one of the languages: the one that the form passed along, else that of the person's traits or public
  // metadata, else the one that the browser likes best, else the first. A form may pass a whole Accept-Language along.
  language(ctx, languages)::
    local data = at(ctx, 'template_data');
    local flow = at(ctx, 'flow');
    local identities = [i for i in [at(ctx, 'identity'), at(data, 'identity'), data, at(flow, 'identity')] if isObject(i)];
    local places = [at(flow, 'transient_payload'), at(data, 'transient_payload')]
                   + [at(i, 'traits') for i in identities] + [at(i, 'metadata_public') for i in identities];
    local asked = [
      accepted(languages, place[key])
      for place in places
      if isObject(place)
      for key in ['lang', 'language', 'locale']
      if has(place, key) && isString(place[key])
    ];
    local header = at(at(ctx, 'request_headers'), 'Accept-Language');
    local liked = accepted(languages, std.join(',', [h for h in (if isArray(header) then header else [header]) if isString(h)]));
    first(asked + [liked, languages[0]], null),

  // Inline elements, for the arrays that blocks take.
  strong(content):: local c = inline(content); element('<strong>' + c.html + '</strong>', c.text),
  link(content, url)::
    local c = inline(content);
    local target = checked(url);
    element('<a class="link" href="' + escape(target) + '" style="color:' + colors.brand + '">' + c.html + '</a>', c.text + ' (' + target + ')'),

  // Blocks, for the content of a layout. A string or an array is a paragraph too.
  paragraph(content):: paragraph(content),
  heading(content)::
    local c = inline(content);
    block('<h1 style="margin:0 0 16px;font-size:24px;line-height:32px;font-weight:bold">' + c.html + '</h1>', c.text),
  button(content, url, color=colors.brand)::
    local c = inline(content);
    local target = checked(url);
    local ground = escape(color);
    block(
      '<p style="margin:28px 0"><a class="button" href="' + escape(target) + '" style="display:inline-block;padding:12px 24px;border:1px solid '
      + ground + ';border-radius:6px;background:' + ground + ';color:#ffffff;font-weight:bold;text-decoration:none">' + c.html + '</a></p>',
      c.text + ':\n' + target
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
    local brand = get(mail, 'brand', {});
    local lang = get(mail, 'lang', 'en');
    local preview = get(mail, 'preview', '');
    local blocks = [paragraph(c) for c in mail.content];
    local footer = inline(get(mail, 'footer', ''));
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
            + masthead(brand, escape(get(brand, 'color', colors.brand)))
            + std.join('', [b.html for b in blocks])
            + (if footer.html == '' then '' else '<p class="muted" style="margin:32px 0 0;font-size:13px;line-height:20px;color:' + colors.muted + '">' + footer.html + '</p>\n')
            + '</td></tr></table>\n<!--[if mso]></td></tr></table><![endif]-->\n</td></tr></table>\n</body>\n</html>\n',
      text: std.join('\n\n', [b.text for b in blocks]) + (if footer.text == '' then '' else '\n\n-- \n' + footer.text) + '\n',
    },
}
