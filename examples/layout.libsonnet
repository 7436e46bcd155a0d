// The frame of our mails. What comes in as `text` is escaped here.
local mail = import 'mail.libsonnet';
local html = mail.html;
{
  brand:: { name: 'Example Club', url: 'https://www.example.com', color: '#1a5fb4' },

  paragraph(text):: '<p style="margin:0 0 16px">' + html(text) + '</p>\n',

  button(url, text)::
    '<p style="margin:24px 0"><a href="' + html(url) + '" style="display:inline-block;padding:12px 24px;border-radius:6px;background:' + $.brand.color + ';color:#ffffff;text-decoration:none">' + html(text) + '</a></p>\n',

  // page puts a mail's body into the frame. `body` is HTML.
  page(lang, title, body, footer):: |||
    <!DOCTYPE html>
    <html lang="%(lang)s">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>%(title)s</title>
    <style>
    @media (prefers-color-scheme: dark) { .brand { color: #8fbcff !important } .footer { color: #b0afac !important } }
    </style>
    </head>
    <body style="margin:0;padding:24px 12px;font:16px/24px Helvetica,Arial,sans-serif">
    <div style="max-width:560px;margin:0 auto">
    <p class="brand" style="margin:0 0 24px;font-size:20px;font-weight:bold;color:%(color)s">%(brand)s</p>
    %(body)s
    <p class="footer" style="margin:32px 0 0;font-size:13px;line-height:20px;color:#6a696e">%(footer)s</p>
    </div>
    </body>
    </html>
  ||| % {
    lang: lang,
    title: html(title),
    color: $.brand.color,
    brand: html($.brand.name),
    body: body,
    footer: html(footer),
  },
}
