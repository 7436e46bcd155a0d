// The body of a hook on Ory's side: forwards ctx without the cookies of the person's browser and
// without the form's nodes, which no mail needs.
function(ctx) ctx { request_cookies:: null, flow+: { ui:: null } }
