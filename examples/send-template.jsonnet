// Fills a template that is kept at Mandrill, here one by the name (slug) of "welcome". Its {{name}} may be empty.
local mail = import 'mail.libsonnet';

function(ctx) {
  template_name: 'welcome',
  message: {
    from_email: 'hello@example.com',
    // People who registered with a phone number have no address: this cancels then.
    to: [mail.recipient(ctx.identity)],
    merge_language: 'handlebars',
    global_merge_vars: [{ name: 'name', content: mail.fullName(ctx.identity) }],
  },
}
