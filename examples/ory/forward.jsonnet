// The body of a hook on Ory's side: what mails are made of, and nothing else. What ctx has beside it may be secret: cookies,
// session tokens, Ory's API key in a header, the secret of a TOTP app in the form, tokens of links in addresses.
local pick(from, names) = if std.isObject(from) then { [name]: from[name] for name in names if std.objectHas(from, name) } else {};

function(ctx) pick(ctx, ['identity', 'request_method']) {
  flow: pick(std.get(ctx, 'flow'), ['id', 'type', 'state', 'active', 'issued_at', 'expires_at', 'refresh', 'requested_aal', 'identity', 'transient_payload']),
  request_headers: pick(std.get(ctx, 'request_headers'), ['Accept-Language', 'User-Agent']),
}
