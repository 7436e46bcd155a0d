// Fills a template that is kept at Mandrill, here one by the name (slug) of "welcome".
function(ctx) {
  template_name: 'welcome',
  message: {
    from_email: 'hello@example.com',
    to: [{ email: a.value } for a in ctx.identity.verifiable_addresses if a.via == 'email'],
    merge_language: 'handlebars',
    global_merge_vars: [
      { name: 'first_name', content: std.get(std.get(ctx.identity.traits, 'name', {}), 'first', '') },
    ],
  },
}
