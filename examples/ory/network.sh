#!/bin/sh
# Adds the hooks and the courier of kratos.yml to a project of Ory Network. Needs Ory's CLI and jq.
#
#   export PROJECT=… WORKSPACE=… HOOK_KEY=… HOOKS=https://hooks.example.com
#   ./network.sh --dry-run
#   ./network.sh
#
# With --dry-run it shows what would be set, and changes nothing. It may run again: a hook of ours that is in a list already is
# replaced there, and other hooks stay. Drop the lines that you don't want.
set -eu
cd "$(dirname "$0")"
: "${PROJECT:?}" "${WORKSPACE:?}" "${HOOK_KEY:?}" "${HOOKS:?}"
key=$HOOK_KEY
[ "${1:-}" != --dry-run ] || key=HOOK_KEY

changes=$(ory get identity-config --project "$PROJECT" --workspace "$WORKSPACE" --format json | jq \
	--arg hooks "$HOOKS" --arg key "$key" --rawfile forward forward.jsonnet --rawfile courier courier-body.jsonnet '
	def call($name; $body): {
		url: "\($hooks)/hooks/\($name)", method: "POST", body: "base64://\($body | @base64)",
		auth: {type: "api_key", config: {name: "Authorization", value: "Bearer \($key)", in: "header"}}
	};
	# put is a list with the hook: in place of an earlier version, else in front.
	def put($name):
		{hook: "web_hook", config: (call($name; $forward) + {response: {ignore: true}})} as $hook
		| if any(.[]?; .config.url == $hook.config.url)
			then map(if .config.url == $hook.config.url then $hook else . end)
			else [$hook] + (. // []) end;
	.selfservice.flows as $flows | {
		"/selfservice/flows/registration/after": ($flows.registration.after
			| .password.hooks |= put("registration")
			| .code.hooks |= put("registration")),
		"/selfservice/flows/login/after": ($flows.login.after | .hooks |= put("login")),
		"/selfservice/flows/settings/after": ($flows.settings.after
			| .hooks |= put("factor")
			| .profile.hooks |= put("profile")
			| .password.hooks |= put("password")
			| .oidc.hooks |= put("linked")),
		"/selfservice/flows/verification/after": ($flows.verification.after | .hooks |= put("verification")),
		"/selfservice/flows/recovery/after": ($flows.recovery.after | .hooks |= put("recovery")),
		"/courier/delivery_strategy": "http",
		"/courier/http": {request_config: (call("courier"; $courier) + {headers: {"Content-Type": "application/json"}})}
	}')

if [ "${1:-}" = --dry-run ]; then
	printf '%s\n' "$changes"
	exit
fi
eval "ory patch identity-config --project \"\$PROJECT\" --workspace \"\$WORKSPACE\" --format json \
	$(printf %s "$changes" | jq -r 'to_entries | map("--add", "\(.key)=\(.value | tojson)") | @sh')" >/dev/null

# Ory gives a code up after seconds unless it may try longer. Not every plan lets you say so.
ory patch identity-config --project "$PROJECT" --workspace "$WORKSPACE" --format json --add /courier/message_retries=900 >/dev/null ||
	echo "courier.message_retries could not be set: codes are lost if Caddy is away for more than some seconds" >&2
