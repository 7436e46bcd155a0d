// The recipe of https://www.ory.com/docs/actions/integrations/mailchimp as it stands there, but for
// the key: that is in Caddy's configuration.
function(ctx) {
message: {
   from_email: "hello@example.com",
   subject: "Hello from Ory",
   text: "Welcome to Ory! Have fun and happy hacking!",
   to: [
      {
      email: ctx.identity.verifiable_addresses[0].value,
      type: "to"
      }
   ]
}
}
