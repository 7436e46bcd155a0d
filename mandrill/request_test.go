package mandrill_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func policy(t testing.TB, from ...string) *mandrill.Policy {
	t.Helper()
	from = append(from, "", "")
	p, err := mandrill.NewPolicy([]string{"example.com", "Bücher.example"}, from[0], from[1])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// message is a body of messages/send whose message has the fields beside a sender and a recipient.
func message(fields string) string {
	return `{"message":{"from_email":"hello@example.com","to":[{"email":"ada@example.net"}]` + fields + `}}`
}

func TestParseRequestRefuses(t *testing.T) {
	for _, test := range []struct{ name, body, path, problem string }{
		{"not JSON", `{`, "", "not valid JSON"},
		{"more than one value", `{} {}`, "", "something after"},
		{"array", `[]`, "the message", "must be an object, is an array"},
		{"null", `null`, "the message", "must be an object, is null"},
		{"empty", `{}`, "message", "is missing"},
		{"message is null", `{"message":null}`, "message", "is missing"},
		{"message is a string", `{"message":"x"}`, "message", "must be an object, is a string"},
		{"unknown top-level field", `{"mesage":{}}`, "mesage", `did you mean "message"?`},
		{"unknown field", message(`,"sujbect":"x"`), "message.sujbect", `did you mean "subject"?`},
		{"other case", message(`,"Subject":"x"`), "message.Subject", `did you mean "subject"?`},
		{"nothing near", message(`,"colour":"x"`), "message.colour", "unknown field"},
		{
			"unknown field of a recipient", `{"message":{"from_email":"a@example.com","to":[{"emial":"a@b.c"}]}}`,
			"message.to[0].emial", `did you mean "email"?`,
		},
		{"unknown field with a strange name", message(`,"a b\n":"x"`), `message."a b\n"`, "unknown field"},
		{
			"unknown field with a long name", message(`,"` + strings.Repeat("x", 100) + `":1`), `message."` +
				strings.Repeat("x", 64) + `…"`, "unknown field",
		},
		{"field of send-template", `{"template_content":[],"message":{}}`, "template_content", "needs a template_name"},
		{"wrong type", message(`,"subject":5`), "message.subject", "must be a string, is a number"},
		{"wrong type of a boolean", message(`,"important":"yes"`), "message.important", "must be a boolean, is a string"},
		{"wrong type of an array", message(`,"tags":"x"`), "message.tags", "must be an array, is a string"},
		{"wrong type in an array", message(`,"tags":["x",null]`), "message.tags[1]", "must be a string, is null"},
		{"wrong type of an object", message(`,"headers":[]`), "message.headers", "must be an object, is an array"},
		{
			"null recipient", `{"message":{"from_email":"a@example.com","to":[null]}}`, "message.to[0]",
			"must be an object, is null",
		},

		{"no recipient", `{"message":{"from_email":"a@example.com"}}`, "message.to", "has no recipient"},
		{"empty recipients", `{"message":{"from_email":"a@example.com","to":[]}}`, "message.to", "has no recipient"},
		{
			"recipient without an address", `{"message":{"from_email":"a@example.com","to":[{}]}}`, "message.to[0].email",
			"is missing",
		},
		{
			"address without @", `{"message":{"from_email":"a@example.com","to":[{"email":"s3cret"}]}}`, "message.to[0].email",
			"must be an e-mail address",
		},
		{
			"address with a name", `{"message":{"from_email":"a@example.com","to":[{"email":"Ada <s3cret@b.c>"}]}}`,
			"message.to[0].email", "without a name: the name is the field name beside it",
		},
		{
			"address with a comment", `{"message":{"from_email":"a@example.com","to":[{"email":"a@b.c (s3cret)"}]}}`,
			"message.to[0].email", "must be an e-mail address",
		},
		{
			"address with a line break",
			`{"message":{"from_email":"a@example.com","to":[{"email":"s3cret@b.c\r\nBcc: d@e.f"}]}}`, "message.to[0].email",
			"must be an e-mail address",
		},
		{
			"two addresses", `{"message":{"from_email":"a@example.com","to":[{"email":"s3cret@b.c, d@e.f"}]}}`,
			"message.to[0].email", "must be an e-mail address",
		},
		{
			"recipient type", `{"message":{"from_email":"a@example.com","to":[{"email":"a@b.c","type":"reply"}]}}`,
			"message.to[0].type", "must be to, cc or bcc",
		},
		{"bcc_address", message(`,"bcc_address":"s3cret"`), "message.bcc_address", "must be an e-mail address"},

		{"no sender", `{"message":{"to":[{"email":"a@b.c"}]}}`, "message.from_email", "is missing"},
		{
			"other domain", `{"message":{"from_email":"a@example.net","to":[{"email":"a@b.c"}]}}`, "message.from_email",
			"its domain example.net is not one of sender_domain",
		},
		{
			"subdomain", `{"message":{"from_email":"a@mail.example.com","to":[{"email":"a@b.c"}]}}`, "message.from_email",
			"its domain mail.example.com",
		},
		{
			"domain as a suffix", `{"message":{"from_email":"a@notexample.com","to":[{"email":"a@b.c"}]}}`, "message.from_email",
			"its domain notexample.com",
		},
		{
			"sender with a name", `{"message":{"from_email":"A <a@example.com>","to":[{"email":"a@b.c"}]}}`,
			"message.from_email", "without a name: the name is from_name",
		},
		{
			"two @", `{"message":{"from_email":"\"a@example.net\"@evil.example","to":[{"email":"a@b.c"}]}}`,
			"message.from_email", "",
		},
		{"header From", message(`,"headers":{"from":"x"}`), "message.headers.from", "is not allowed"},
		{"header Sender", message(`,"headers":{"SENDER":"x"}`), "message.headers.SENDER", "is not allowed"},
		{"header Return-Path", message(`,"headers":{"Return-Path":"x"}`), `message.headers."Return-Path"`, "is not allowed"},
		{
			"header with a line break", message(`,"headers":{"X\r\nFrom":"x"}`), `message.headers."X\r\nFrom"`,
			"is not a header's name",
		},
		{"header with an array", message(`,"headers":{"X":["x"]}`), "message.headers.X", "must be a string, is an array"},
		{
			"return_path_domain", message(`,"return_path_domain":"evil.example"`), "message.return_path_domain",
			"is not one of sender_domain",
		},
		{
			"signing_domain", message(`,"signing_domain":"evil.example"`), "message.signing_domain",
			"is not one of sender_domain",
		},

		{
			"long subject", message(`,"subject":"` + strings.Repeat("ü", 999) + `"`), "message.subject",
			"more than 998 characters",
		},
		{
			"long tag", message(`,"tags":["ok","` + strings.Repeat("ü", 51) + `"]`), "message.tags[1]",
			"more than 50 characters",
		},
		{"reserved tag", message(`,"tags":["_x"]`), "message.tags[0]", "begins with an underscore"},
		{"nested metadata", message(`,"metadata":{"a":{}}`), "message.metadata.a", "is an object"},
		{
			"large metadata", message(`,"metadata":{"a":"` + strings.Repeat("x", 243) + `"}`), "message.metadata",
			"has 251 bytes as JSON, Mandrill takes 250",
		},
		{
			"large metadata of a recipient",
			message(`,"recipient_metadata":[{"rcpt":"a@b.c","values":{"a":"` + strings.Repeat("x", 243) + `"}}]`),
			"message.recipient_metadata[0].values", "has 251 bytes",
		},
		{
			"reserved merge variable", message(`,"global_merge_vars":[{"name":"_x","content":1}]`),
			"message.global_merge_vars[0].name", "begins with an underscore",
		},
		{
			"unnamed merge variable", message(`,"merge_vars":[{"rcpt":"a@b.c","vars":[{"content":1}]}]`),
			"message.merge_vars[0].vars[0].name", "is missing",
		},
		{"merge language", message(`,"merge_language":"jinja"`), "message.merge_language", "must be mailchimp or handlebars"},
		{"campaign", message(`,"google_analytics_campaign":5`), "message.google_analytics_campaign", "is a number"},
		{"campaigns", message(`,"google_analytics_campaign":["a",5]`), "message.google_analytics_campaign[1]", "is a number"},
		{
			"image that is none", message(`,"images":[{"type":"text/html","name":"i","content":"aGk="}]`),
			"message.images[0].type", "must begin with image/",
		},
		{
			"attachment that is not base64", message(`,"attachments":[{"content":"%%"}]`), "message.attachments[0].content",
			"must be base64",
		},
		{"send_at", `{"send_at":"tomorrow",` + message("")[1:], "send_at", "YYYY-MM-DD HH:MM:SS"},
		{
			"send_at with a fraction", `{"send_at":"2030-01-02 03:04:05.678",` + message("")[1:], "send_at",
			"YYYY-MM-DD HH:MM:SS",
		},
		{"send_at with a zone", `{"send_at":"2030-01-02T03:04:05Z",` + message("")[1:], "send_at", "YYYY-MM-DD HH:MM:SS"},
		{"mc_template_id as a string", `{"mc_template_id":"5",` + message("")[1:], "mc_template_id", "must be a number"},
		{"mc_template_id with a fraction", `{"mc_template_id":1.5,` + message("")[1:], "mc_template_id", "whole number"},
		{"mc_template_id in message", message(`,"mc_template_id":5`), "message.mc_template_id", "it belongs beside message"},
		{"two templates", `{"mc_template_id":5,"template_name":"x",` + message("")[1:], "mc_template_id", "unknown field"},
		{"empty template_name", `{"template_name":"",` + message("")[1:], "template_name", "is empty"},
		{"reply_to", message(`,"reply_to":"x"`), "message.reply_to", "headers: { 'Reply-To': … }"},
		{"replyTo", message(`,"replyTo":"x"`), "message.replyTo", "headers: { 'Reply-To': … }"},
		{"cc", message(`,"cc":"x"`), "message.cc", "to: [{ email: …, type: 'cc' }]"},
		{"send_at in message", message(`,"send_at":"x"`), "message.send_at", "it belongs beside message"},
		{"template_name in message", message(`,"template_name":"x"`), "message.template_name", "it belongs beside message"},
		{"no wrapper", `{"from_email":"a@example.com","to":[]}`, "from_email", "it belongs into message"},
		{
			"attachment as a data URL", message(`,"attachments":[{"content":"data:text/plain;base64,aGk="}]`),
			"message.attachments[0].content", "must be base64 alone: leave out what stands before it",
		},
		{
			"attachment without padding", message(`,"attachments":[{"content":"aGk"}]`), "message.attachments[0].content",
			"with its padding",
		},
		{
			"attachment in base64 for URLs", message(`,"attachments":[{"content":"-_-_"}]`), "message.attachments[0].content",
			"not with - and _",
		},
		{
			"unknown field of delivery", `{"delivery":{"expires":"1m"},` + message("")[1:], "delivery.expires",
			`did you mean "expires_in"?`,
		},
		{
			"expires_in without a unit", `{"delivery":{"expires_in":"15"},` + message("")[1:], "delivery.expires_in",
			"must be a duration",
		},
		{
			"negative expires_in", `{"delivery":{"expires_in":"-1m"},` + message("")[1:], "delivery.expires_in",
			"must be a duration",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := mandrill.ParseRequest([]byte(test.body), policy(t))
			var got *mandrill.InvalidError
			if !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			if got.Path != test.path || !strings.Contains(got.Problem, test.problem) {
				t.Errorf("got %q: %s", got.Path, got.Problem)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error repeats what a person may have typed: %v", err)
			}
		})
	}
}

func TestParseRequestSendsWhatCame(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"minimal", message(""), message("")},
		{
			"nulls, empty strings and numbers stay",
			message(`,"subject":null,"text":"","important":false,"tags":[],"metadata":{"n":9007199254740993,` +
				`"f":19.989999999999998},"global_merge_vars":[{"name":"a","content":{"b":[1,null]}}]`), "",
		},
		{"HTML is not escaped", message(`,"html":"<b>&\u2028"`), ""},
		{
			"case and Unicode of recipients stay",
			`{"message":{"from_email":"Hello@example.com","to":[{"email":"Zoë.Ünal+Tag@bücher.Example","name":"Zoë",` +
				`"type":"cc"}]}}`, "",
		},
		{
			"sender domains in other forms",
			`{"message":{"from_email":"a@BÜCHER.example","to":[{"email":"a@b.c"}],` +
				`"return_path_domain":"bücher.example","signing_domain":"ｅxample.COM"}}`,
			`{"message":{"from_email":"a@xn--bcher-kva.example","to":[{"email":"a@b.c"}],` +
				`"return_path_domain":"xn--bcher-kva.example","signing_domain":"example.com"}}`,
		},
		{
			"sender domain with what nobody sees",
			`{"message":{"from_email":"a@exam\u00adple.com","to":[{"email":"a@b.c"}]}}`,
			`{"message":{"from_email":"a@example.com","to":[{"email":"a@b.c"}]}}`,
		},
		{
			"blanks around addresses",
			`{"message":{"from_email":"a@example.com","to":[{"email":" a@b.c\u00a0"}],"bcc_address":"\td@e.f ",` +
				`"merge_vars":[{"rcpt":" a@b.c"}],"recipient_metadata":[{"rcpt":"a@b.c "}]}}`,
			`{"message":{"from_email":"a@example.com","to":[{"email":"a@b.c"}],"bcc_address":"d@e.f",` +
				`"merge_vars":[{"rcpt":"a@b.c"}],"recipient_metadata":[{"rcpt":"a@b.c"}]}}`,
		},
		{
			"addresses that Mandrill judges",
			`{"message":{"from_email":"a@example.com","to":[{"email":"a@ab--cd.example"},` +
				`{"email":"\"a b\"@b.c"},{"email":"a@[192.0.2.1]"},{"email":"a@under_score.example"},` +
				`{"email":"a@localhost"}]}}`, "",
		},
		{
			"send-mc-template", `{"mc_template_id":5,"mc_template_version":"draft",` + message("")[1:], "",
		},
		{
			"null template_name", `{"template_name":null,"mc_template_id":null,` + message("")[1:], message(""),
		},
		{
			"the other top-level fields", `{"async":false,"ip_pool":"Main","send_at":"2030-01-02 03:04:05",` + message("")[1:],
			"",
		},
		{
			"key and delivery are taken off", `{"key":"k","delivery":{"expires_in":"15m","idempotency_key":"x"},` +
				message("")[1:], message(""),
		},
		{
			"headers are cleaned",
			message(`,"subject":"a\r\nBcc: b\u0000","from_name":"a\nb","headers":{"X-A":"a\r\nb","X-N":1},` +
				`"attachments":[{"name":"a\nb","type":"text/plain\r","content":"aGk="}]`),
			message(`,"subject":"a  Bcc: b ","from_name":"a b","headers":{"X-A":"a  b","X-N":1},"attachments":[{"name":"a b",` +
				`"type":"text/plain ","content":"aGk="}]`),
		},
		{
			"names are cleaned", `{"message":{"from_email":"a@example.com","to":[{"email":"a@b.c","name":"a\r\nb"}]}}`,
			`{"message":{"from_email":"a@example.com","to":[{"email":"a@b.c","name":"a  b"}]}}`,
		},
		{"line breaks elsewhere stay", message(`,"text":"a\r\nb","html":"a\nb","metadata":{"a":"b\nc"}`), ""},
		{
			"send-template gets its content", `{"template_name":"welcome",` + message("")[1:],
			`{"template_name":"welcome","template_content":[],` + message("")[1:],
		},
		{
			"send-template with content", `{"template_name":"welcome","template_content":[{"name":"a","content":"b"}],` +
				message("")[1:], "",
		},
		{
			"empty strings as in Mailchimp's samples",
			`{"ip_pool":"","send_at":"",` +
				message(`,"from_name":"","bcc_address":"","tracking_domain":"","signing_domain":"","return_path_domain":"",` +
					`"merge_language":"","subaccount":"","google_analytics_campaign":""`)[1:], "",
		},
		{"campaigns", message(`,"google_analytics_campaign":["a","b"]`), ""},
		{"largest metadata", message(`,"metadata":{"a":"` + strings.Repeat("x", 242) + `"}`), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := mandrill.ParseRequest([]byte(test.body), policy(t))
			if err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				test.want = test.body
			}
			got, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(tree(t, got), tree(t, []byte(test.want))) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// tree decodes without a loss of digits.
func tree(t testing.TB, data []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestParseRequestTakesTheSenderOfThePolicy(t *testing.T) {
	const bare = `{"message":{"to":[{"email":"a@b.c"}]}}`
	for _, test := range []struct{ name, body, want string }{
		{"none named", bare, `{"message":{"from_email":"hi@example.com","from_name":"Club","to":[{"email":"a@b.c"}]}}`},
		{
			"a name of its own", `{"message":{"from_name":"Own","to":[{"email":"a@b.c"}]}}`,
			`{"message":{"from_email":"hi@example.com","from_name":"Own","to":[{"email":"a@b.c"}]}}`,
		},
		{"an address of its own", message(""), message("")},
		{
			"send-template", `{"template_name":"w",` + bare[1:],
			`{"template_name":"w","template_content":[],"message":{"from_email":"hi@example.com","from_name":"Club",` +
				`"to":[{"email":"a@b.c"}]}}`,
		},
	} {
		r, err := mandrill.ParseRequest([]byte(test.body), policy(t, "hi@example.com", "Club"))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got, err := json.Marshal(r)
		if err != nil || !reflect.DeepEqual(tree(t, got), tree(t, []byte(test.want))) {
			t.Errorf("%s: got %s, %v", test.name, got, err)
		}
	}
}

func TestNewPolicyRefuses(t *testing.T) {
	for name, arguments := range map[string][2]string{
		"empty domain":        {"", ""},
		"domain with a space": {"exam ple.com", ""},
		"URL":                 {"https://example.com", ""},
		"wildcard":            {"*.example.com", ""},
		"address":             {"a@example.com", ""},
		"from elsewhere":      {"example.com", "a@example.net"},
		"from without @":      {"example.com", "example.com"},
		"from with a name":    {"example.com", "A <a@example.com>"},
	} {
		if _, err := mandrill.NewPolicy([]string{arguments[0]}, arguments[1], ""); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRequestProperties(t *testing.T) {
	r, err := mandrill.ParseRequest([]byte(`{"key":"k","delivery":{"idempotency_key":"once","expires_in":"15m"},`+
		`"message":{`+
		`"from_email":"a@Bücher.example","view_content_link":false,"to":[{"email":"A@b.c"},{"email":"d@e.f","type":"bcc"}],`+
		`"metadata":{"a":1}}}`), policy(t))
	if err != nil {
		t.Fatal(err)
	}
	if !r.HadKey() || r.IdempotencyKey() != "once" || r.ExpiresIn() != 15*time.Minute || !r.Private() ||
		r.SenderDomain() != "xn--bcher-kva.example" ||
		!reflect.DeepEqual(r.Recipients(), []string{"A@b.c", "d@e.f"}) {
		t.Errorf("got %v %q %v %v %q %v", r.HadKey(), r.IdempotencyKey(), r.ExpiresIn(), r.Private(), r.SenderDomain(),
			r.Recipients())
	}
	if r.SetMetadata("a", "x") || !r.SetMetadata("entry", "e1") || r.SetMetadata("long", strings.Repeat("x", 250)) {
		t.Error("SetMetadata added what it must not, or not what it must")
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := mandrill.ParseStored(data)
	if err != nil || stored.SenderDomain() != r.SenderDomain() || !strings.Contains(string(data), `"entry":"e1"`) ||
		!reflect.DeepEqual(stored.Recipients(), r.Recipients()) || !stored.IsPrimary("a@b.c") ||
		stored.Metadata("entry") != "e1" || stored.Metadata("a") != "" || stored.Metadata("long") != "" {
		t.Errorf("stored %+v, %v", stored, err)
	}
}

func TestParseStoredRefuses(t *testing.T) {
	for _, body := range []string{
		`null`, `[]`, `{}`, `{"message":null}`, `{"message":[]}`, `{"message":{"to":{}}}`, `{"message":{"to":[1]}}`,
		`{"message":{"from_email":1}}`, `{"message":{}`,
	} {
		if stored, err := mandrill.ParseStored([]byte(body)); err == nil {
			t.Errorf("%s is taken as %+v", body, stored)
		}
	}
}

// FuzzParseStored compares what is read of a stored message with what the request said that it was made from.
func FuzzParseStored(f *testing.F) {
	f.Add([]byte(message(`,"metadata":{"a":1},"view_content_link":false`)))
	f.Add([]byte(message(`,"to":[{"email":"a@b.c","type":"cc"},{"email":"d@e.f"}]`)))
	p := policy(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := mandrill.ParseRequest(data, p)
		if err != nil {
			return
		}
		body, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := mandrill.ParseStored(body)
		if err != nil || stored.SenderDomain() != r.SenderDomain() ||
			!reflect.DeepEqual(stored.Recipients(), r.Recipients()) {
			t.Errorf("%s is stored as %+v, %v", body, stored, err)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	for _, seed := range []string{
		message(`,"subject":"a\r\nb","headers":{"X":"\n"},"metadata":{"a":1}`), `{"template_name":"w",` + message("")[1:],
		`{"delivery":{"expires_in":"1m"},"key":1,` + message("")[1:],
		message(`,"attachments":[{"name":"a\r\nb","type":"t\n","content":""}],"images":[{"type":"image/png\u0000"}]`),
		`{"message":{"to":[{"email":"a@b.c","name":"\u0000"}]}}`, `[`, `{"message":[]}`,
	} {
		f.Add([]byte(seed))
	}
	p := policy(f, "hi@example.com", "Club")
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := mandrill.ParseRequest(data, p)
		if err != nil {
			var invalid *mandrill.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("got a %T: %v", err, err)
			}
			return
		}
		first, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := mandrill.ParseRequest(first, p)
		if err != nil {
			t.Fatalf("what it sends doesn't pass again: %v\n%s", err, first)
		}
		second, err := json.Marshal(again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("parsing again changes\n%s\nto\n%s, %v", first, second, err)
		}
		var sent struct {
			Message struct {
				Subject             string         `json:"subject"`
				FromName            string         `json:"from_name"`
				Headers             map[string]any `json:"headers"`
				To                  []struct{ Email, Name string }
				Attachments, Images []struct{ Type, Name string }
			}
		}
		if err := json.Unmarshal(first, &sent); err != nil {
			t.Fatal(err)
		}
		bound := []string{sent.Message.Subject, sent.Message.FromName}
		for _, to := range sent.Message.To {
			bound = append(bound, to.Email, to.Name)
		}
		for _, file := range append(sent.Message.Attachments, sent.Message.Images...) {
			bound = append(bound, file.Type, file.Name)
		}
		for name, value := range sent.Message.Headers {
			if text, ok := value.(string); ok {
				bound = append(bound, name, text)
			}
		}
		for _, text := range bound {
			if strings.ContainsAny(text, "\r\n\x00") {
				t.Errorf("%q is bound for a header", text)
			}
		}
	})
}

// TestSafeKeepsSuggestion hides what was typed, and not the known field that is alike.
func TestSafeKeepsSuggestion(t *testing.T) {
	sender, err := mandrill.NewPolicy([]string{"example.com"}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = mandrill.ParseRequest([]byte(`{"message":{"from_email":"a@example.com","to":[{"email":"a@example.net"}],`+
		`"subjec":"x"}}`), sender)
	var invalid *mandrill.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v", err)
	}
	if safe := invalid.Safe(func(string) bool { return false }); safe != `message.…: unknown field, `+
		`did you mean "subject"?` {
		t.Errorf("the safe text is %s", safe)
	}
}

// TestInvalidErrorIsSafe has a template take keys and a sender from what a person typed.
func TestInvalidErrorIsSafe(t *testing.T) {
	sender, err := mandrill.NewPolicy([]string{"example.com"}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	const to = `"to":[{"email":"a@example.net"}]`
	for name, message := range map[string]string{
		"unknown field": `{"message":{"from_email":"a@example.com",` + to + `,"ada@typed.example":1}}`,
		"at the top":    `{"ada@typed.example":1,"message":{"from_email":"a@example.com",` + to + `}}`,
		"metadata":      `{"message":{"from_email":"a@example.com",` + to + `,"metadata":{"ada@typed.example":[]}}}`,
		"header":        `{"message":{"from_email":"a@example.com",` + to + `,"headers":{"ada@typed.example":"x"}}}`,
		"sender":        `{"message":{"from_email":"ada@typed.example",` + to + `}}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mandrill.ParseRequest([]byte(message), sender)
			var invalid *mandrill.InvalidError
			if !errors.As(err, &invalid) || !strings.Contains(err.Error(), "typed.example") {
				t.Fatalf("got %v", err)
			}
			if safe := invalid.Safe(func(string) bool { return false }); strings.Contains(safe, "typed") ||
				!strings.Contains(safe, "…") {
				t.Errorf("the safe text is %s", safe)
			}
			if safe := invalid.Safe(func(word string) bool { return word == "ada@typed.example" }); safe != err.Error() {
				t.Errorf("what the template spells out is shown as %s", safe)
			}
		})
	}
}
