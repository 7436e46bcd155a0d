package mandrill_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// TestSignature has a signature that was made with openssl:
//
//	printf 'https://hooks.example.com/mandrill?a=1extrayesmandrill_events[]' |
//	  openssl dgst -sha1 -hmac s3cret -binary | base64
func TestSignature(t *testing.T) {
	form := url.Values{"mandrill_events": {"[]"}, "extra": {"yes"}}
	const address, want = "https://hooks.example.com/mandrill?a=1", "oZLfclrxbx4T+EPdOmafvJ+0dCY="
	if got := mandrill.Signature("s3cret", address, form); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	parsed, err := mandrill.ParseForm([]byte(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		keys      []string
		signature string
		address   string
		want      int
	}{
		"second key":   {[]string{"other", "s3cret"}, want, address, 1},
		"no key":       {nil, want, address, -1},
		"other key":    {[]string{"other"}, want, address, -1},
		"other URL":    {[]string{"s3cret"}, want, address + "/", -1},
		"no signature": {[]string{"s3cret"}, "", address, -1},
	} {
		if got := parsed.SignedBy(test.keys, test.signature, test.address); got != test.want {
			t.Errorf("%s: got %d", name, got)
		}
	}
}

func TestParseEvents(t *testing.T) {
	events, err := mandrill.ParseEvents([]byte(`[
		{"event":"hard_bounce","_id":"m1","ts":1700000000,"new":{},"msg":{"_id":"m1","email":"ada@example.net",
			"metadata":{"outbox_entry":"42"},"bounce_description":"bad_mailbox","diag":"550"}},
		{"event":"reject","ts":1700000001.5,"msg":{"_id":"m2","metadata":[],"reject":{"reason":"hard-bounce"}}},
		{"event":"open","_id":"m3","ts":"soon","msg":[]},
		{"event":"new_kind","msg":{"_id":7,"metadata":"none"}},
		{"type":"blacklist","action":"add"},
		{}
	]`))
	if err != nil || len(events) != 6 {
		t.Fatalf("%+v, %v", events, err)
	}
	first := events[0]
	if first.Event != "hard_bounce" || first.ID != "m1" || first.Email != "ada@example.net" ||
		first.Detail != "bad_mailbox" || first.Metadata["outbox_entry"] != "42" ||
		!first.Time.Equal(time.Unix(1_700_000_000, 0)) {
		t.Errorf("%+v", first)
	}
	if e := events[1]; e.ID != "m2" || e.Detail != "hard-bounce" || e.Time.Unix() != 1_700_000_001 {
		t.Errorf("%+v", e)
	}
	if e := events[2]; e.ID != "m3" || !e.Time.IsZero() {
		t.Errorf("%+v", e)
	}
	if events[3].Event != "new_kind" || events[4].Event != "sync" || events[5].Event != "" {
		t.Errorf("%+v", events[3:])
	}
	for _, bad := range []string{"", "{}", "null", `"x"`, "[", "[1]", "[{}", "[{},]", "[]]", "[] []", "[{}{}]"} {
		if _, err := mandrill.ParseEvents([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestParseManyEvents bounds their number, and what is kept of each.
func TestParseManyEvents(t *testing.T) {
	list := func(n int, event string) []byte { return []byte("[" + strings.Repeat(event+",", n-1) + event + "]") }
	events, err := mandrill.ParseEvents(list(2000, "{}"))
	if err != nil || len(events) != 2000 {
		t.Errorf("%d events, %v", len(events), err)
	}
	if _, err := mandrill.ParseEvents(list(2001, "{}")); !errors.Is(err, mandrill.ErrManyEvents) {
		t.Errorf("too many: %v", err)
	}
	long := strings.Repeat("x", 2000)
	events, err = mandrill.ParseEvents(list(1, `{"event":"`+long+`","msg":{"metadata":{"a":"`+long+`"}}}`))
	if err != nil || events[0].Event != "" || events[0].Metadata != nil {
		t.Errorf("long texts: %+v, %v", events, err)
	}
	events, err = mandrill.ParseEvents(list(1, `{"msg":{"metadata":{"a":[{},{}],"b":1,"c":"d"}}}`))
	if err != nil || len(events[0].Metadata) != 1 || events[0].Metadata["c"] != "d" {
		t.Errorf("metadata: %+v, %v", events, err)
	}
}

func FuzzParseEvents(f *testing.F) {
	f.Add([]byte(`[{"event":"open","_id":"m","ts":1,"msg":{"metadata":{"outbox_entry":"1"},"reject":null}}]`))
	f.Add([]byte(`[{"type":"blacklist","ts":-1e300},{"msg":[],"event":{}},null]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		events, err := mandrill.ParseEvents(data)
		if err != nil {
			return
		}
		for _, e := range events {
			for _, word := range []string{e.Event, e.ID, e.Email, e.Detail} {
				if len(word) > 320 {
					t.Errorf("%d bytes of %q", len(word), strings.ToValidUTF8(word[:20], "?"))
				}
			}
		}
	})
}
