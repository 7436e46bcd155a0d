// The recipe of https://www.ory.com/docs/actions/integrations/mailchimp as it stands there, but for
// the key: that is in Caddy's configuration. It writes to whichever address Ory lists first, which may be a phone number:
// in a template of your own, take recipient of mail.libsonnet.
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
