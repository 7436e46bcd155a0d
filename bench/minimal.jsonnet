function(ctx) { message: { from_email: 'hello@example.com', to: [{ email: ctx.identity.traits.email }], subject: 'Hi', text: 'Hi' } }
