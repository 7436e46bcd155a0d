// The body of the courier's calls on Ory's side: what courier.jsonnet needs.
function(ctx) {
  recipient: ctx.recipient,
  subject: ctx.subject,
  body: ctx.body,
  message_type: std.get(ctx, 'message_type', 'email'),
  template_type: ctx.template_type,
  template_data: ctx.template_data,
}
