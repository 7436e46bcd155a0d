// The body of the courier's calls on Ory's side: what courier.jsonnet needs. Of the data, request_url stays behind, and of the
// browser's headers all but the language, which only the newest Ory has.
local pick(from, names) = if std.isObject(from) then { [name]: from[name] for name in names if std.objectHas(from, name) } else {};
local data(ctx) = local all = std.get(ctx, 'template_data'); pick(all, [name for name in (if std.isObject(all) then std.objectFields(all) else []) if name != 'request_url']);

function(ctx) pick(ctx, ['recipient', 'subject', 'body', 'html_body', 'message_type', 'template_type']) {
  template_data: data(ctx),
  request_headers: pick(std.get(ctx, 'request_headers'), ['Accept-Language']),
}
