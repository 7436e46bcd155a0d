// Keeps the audience in step with who wants the newsletter: those whose trait `newsletter` is true.
//
// For two hooks: registration, after, <method>, and settings, after, profile, both with response.ignore. A settings hook has in
// `flow.identity` what was before, and fires even if nothing changed; to say the same again does no harm. With Ory's hook
// verify_new_address, it has the new address there too: docs/audience.md says what to do.
local mail = import 'mail.libsonnet';

local traits(identity) = if std.isObject(identity) then std.get(identity, 'traits', {}) else {};
local wants(identity) = std.get(traits(identity), 'newsletter') == true;
local name(identity, part) =
  local name = std.get(traits(identity), 'name');
  if std.isObject(name) then std.get(name, part, '') else '';

function(ctx)
  local identity = ctx.identity;
  local address = mail.address(identity);
  local before = std.get(std.get(ctx, 'flow', {}), 'identity');
  local addressBefore = mail.address(before);
  if wants(identity) && address != null then {
    email_address: address,
    // The person said yes: an address that isn't in the audience is subscribed. With 'pending', Mailchimp asks once more.
    status_if_new: 'subscribed',
    merge_fields: { FNAME: name(identity, 'first'), LNAME: name(identity, 'last') },
    language: mail.language(ctx, ['en', 'de']),
    tags: ['account'],
    // The address changed.
    [if addressBefore != null && addressBefore != address then 'archive']: addressBefore,
  }
  // The person said no, after a yes.
  else if wants(before) && addressBefore != null then { archive: addressBefore }
  else error 'cancel'
