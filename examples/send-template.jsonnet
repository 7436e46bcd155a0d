// Fills a template that is kept at Mandrill, here one by the name (slug) of "welcome".
function(ctx)
  local addresses = [a.value for a in ctx.identity.verifiable_addresses if a.via == 'email'];

  // People who registered with a phone number have no address.
  if addresses == [] then error 'cancel' else {
    template_name: 'welcome',
    message: {
      from_email: 'hello@example.com',
      to: [{ email: addresses[0] }],
      merge_language: 'handlebars',
      global_merge_vars: [
        { name: 'first_name', content: std.get(std.get(ctx.identity.traits, 'name', {}), 'first', '') },
      ],
    },
  }
