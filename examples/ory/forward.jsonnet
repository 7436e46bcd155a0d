// The body of a hook on Ory's side: forwards ctx without what no mail needs: the cookies of the person's browser, the form's
// nodes, and the addresses of the requests, which may hold the token of a link.
function(ctx) ctx { request_cookies:: null, request_url:: null, flow+: { ui:: null, request_url:: null } }
