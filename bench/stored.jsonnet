function(ctx) { message: { from_email: 'hello@stored.example', to: [{ email: ctx.identity.traits.email }], subject: 'Hi', text: 'Hi' } }
