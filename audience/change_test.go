package audience_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/audience"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseChange(t *testing.T) {
	for _, test := range []struct{ name, given, want string }{
		{"least", `{"email_address":"ada@example.net"}`, `{"email_address":"ada@example.net"}`},
		{"archive", `{"archive":"ada@example.net"}`, `{"archive":"ada@example.net"}`},
		{
			"all", `{"email_address":"Ada@example.net","status_if_new":"subscribed",
			"merge_fields":{"FNAME":"Ada","N":1.50,"GONE":null},"interests":{"a1":true,"b2":null},
			"language":"de","tags":["new",{"name":"old","status":"inactive"},{"name":"x"}],"archive":"a@example.net",
			"delivery":{"idempotency_key":"k","expires_in":"24h"}}`,
			`{"archive":"a@example.net","email_address":"Ada@example.net","interests":{"a1":true},"language":"de",` +
				`"merge_fields":{"FNAME":"Ada","N":1.50},"status_if_new":"subscribed",` +
				`"tags":[{"name":"new","status":"active"},{"name":"old","status":"inactive"},{"name":"x","status":"active"}]}`,
		},
		{
			"nulls", `{"email_address":"ada@example.net","status_if_new":null,"merge_fields":null,"interests":null,` +
				`"language":null,"tags":null,"archive":null,"delivery":null}`, `{"email_address":"ada@example.net"}`,
		},
		{"no JSON", `{`, "the change is not valid JSON"},
		{"two values", `{} {}`, "there is something after the change"},
		{"array", `[]`, "the change: must be an object, is an array"},
		{"empty", `{}`, "email_address: is missing"},
		{
			"no address", `{"email_address":"Ada <ada@example.net>"}`,
			"email_address: must be an e-mail address such as ada@example.com, without a name",
		},
		{"number", `{"email_address":1}`, "email_address: must be a string, is a number"},
		{"misspelt", `{"emial_address":"a@b.c"}`, `emial_address: unknown field, did you mean "email_address"?`},
		{"shortened", `{"email":"a@b.c"}`, `email: unknown field, did you mean "email_address"?`},
		{"swapped", `{"email_address":"a@b.c","tgas":["x"]}`, `tgas: unknown field, did you mean "tags"?`},
		{"unknown", `{"email_address":"a@b.c","phone number":1}`, `"phone number": unknown field`},
		{
			"status", `{"email_address":"a@b.c","status":"subscribed"}`,
			"status: would subscribe people who had unsubscribed: write status_if_new",
		},
		{"mail", `{"message":{}}`, "message: makes it a mail, which is for mailchimp_hook"},
		{
			"wrong status", `{"email_address":"a@b.c","status_if_new":"yes"}`,
			"status_if_new: must be subscribed, pending, unsubscribed or transactional",
		},
		{
			"archive with fields", `{"archive":"a@b.c","tags":["x"]}`,
			"tags: needs an email_address beside it: archive alone takes an address out",
		},
		{"archive true", `{"archive":true}`, "archive: must be a string, is a boolean"},
		{"merge fields", `{"email_address":"a@b.c","merge_fields":["x"]}`, "merge_fields: must be an object, is an array"},
		{"interests", `{"email_address":"a@b.c","interests":{"a1":"yes"}}`, "interests.a1: must be a boolean, is a string"},
		{"language", `{"email_address":"a@b.c","language":"German"}`, "language: must be a code such as de or pt_PT"},
		{"tags", `{"email_address":"a@b.c","tags":"x"}`, "tags: must be an array, is a string"},
		{"tag", `{"email_address":"a@b.c","tags":[null]}`, "tags[0]: must be a string, is null"},
		{"empty tag", `{"email_address":"a@b.c","tags":["a",""]}`, "tags[1]: is empty"},
		{
			"long tag", `{"email_address":"a@b.c","tags":["` + strings.Repeat("é", 101) + `"]}`,
			"tags[0]: has more than 100 characters",
		},
		{"tag's field", `{"email_address":"a@b.c","tags":[{"nam":"a"}]}`, `tags[0].nam: unknown field, did you mean "name"?`},
		{
			"tag's status", `{"email_address":"a@b.c","tags":[{"name":"a","status":"on"}]}`,
			"tags[0].status: must be active or inactive",
		},
		{
			"delivery", `{"email_address":"a@b.c","delivery":{"expires":"1h"}}`,
			`delivery.expires: unknown field, did you mean "expires_in"?`,
		},
		{
			"expires", `{"email_address":"a@b.c","delivery":{"expires_in":"-1h"}}`,
			`delivery.expires_in: must be a duration of more than 0, such as "24h"`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			change, err := audience.ParseChange([]byte(test.given))
			if err != nil {
				if err.Error() != test.want {
					t.Errorf("got %v", err)
				}
				return
			}
			got, err := json.Marshal(change)
			if err != nil || string(got) != test.want {
				t.Errorf("got %s, %v", got, err)
			}
			var restored audience.Change
			if err := json.Unmarshal(got, &restored); err != nil {
				t.Fatal(err)
			}
			if again, _ := json.Marshal(&restored); string(again) != test.want {
				t.Errorf("restored: %s", again)
			}
		})
	}
}

func TestChange(t *testing.T) {
	for _, test := range []struct {
		given string
		want  []string
	}{
		{`{"email_address":"ada@example.net"}`, []string{"ada@example.net"}},
		{`{"archive":"ada@example.net"}`, []string{"ada@example.net"}},
		{`{"email_address":"new@example.net","archive":"ada@example.net"}`, []string{"new@example.net", "ada@example.net"}},
		{`{"email_address":"ada@example.net","archive":"ADA@example.net"}`, []string{"ada@example.net"}},
	} {
		if got := parse(t, test.given).Addresses(); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q", test.given, got)
		}
	}
	change := parse(t, `{"email_address":"a@b.c","delivery":{"idempotency_key":"k","expires_in":"90m"}}`)
	if change.IdempotencyKey() != "k" || change.ExpiresIn().Minutes() != 90 {
		t.Errorf("got %q, %v", change.IdempotencyKey(), change.ExpiresIn())
	}
}

// TestSafe keeps a key that a person typed out of what is safe to log.
func TestSafe(t *testing.T) {
	_, err := audience.ParseChange([]byte(`{"email_address":"a@b.c","interests":{"ada@example.net":1}}`))
	invalid, ok := err.(*audience.InvalidError) //nolint:errorlint // the documented type
	if !ok {
		t.Fatalf("got %v", err)
	}
	if got := invalid.Safe(func(string) bool { return false }); strings.Contains(got, "ada") ||
		!strings.Contains(got, "must be a boolean") {
		t.Errorf("got %s", got)
	}
	if got := invalid.Safe(func(string) bool { return true }); got != err.Error() {
		t.Errorf("got %s", got)
	}
	_, misspelt := audience.ParseChange([]byte(`{"email_address":"a@b.c","tag":["x"]}`))
	if !errors.As(misspelt, &invalid) ||
		invalid.Safe(func(string) bool { return false }) != `…: unknown field, did you mean "tags"?` {
		t.Errorf("got %s", invalid.Safe(func(string) bool { return false }))
	}
	if got := invalid.Safe(func(string) bool { return true }); got != misspelt.Error() {
		t.Errorf("got %s", got)
	}
	_, within := audience.ParseChange([]byte(`{"email_address":"a@b.c","tags":[{"tag":"x"}]}`))
	if !errors.As(within, &invalid) || invalid.Safe(func(string) bool { return false }) != "tags[0].…: unknown field" {
		t.Errorf("got %s", invalid.Safe(func(string) bool { return false }))
	}
}

func parse(t *testing.T, change string) *audience.Change {
	t.Helper()
	c, err := audience.ParseChange([]byte(change))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// FuzzParseChange: what is taken can be stored and restored without a loss.
func FuzzParseChange(f *testing.F) {
	f.Add([]byte(`{"email_address":"a@b.c","status_if_new":"subscribed","merge_fields":{"A":1},"interests":{"a":true},` +
		`"language":"de","tags":["x",{"name":"y","status":"inactive"}],"archive":"d@e.f"}`))
	f.Add([]byte(`{"archive":"a@b.c","delivery":{"idempotency_key":"k","expires_in":"1h"}}`))
	f.Add([]byte(`{"email_address":"\"a b\"@c.d","tagz":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		change, err := audience.ParseChange(data)
		if err != nil {
			if change != nil || err.Error() == "" {
				t.Error("an error without words, or a change beside it")
			}
			return
		}
		stored, err := json.Marshal(change)
		if err != nil {
			t.Fatal(err)
		}
		restored, err := audience.ParseChange(stored)
		if err != nil {
			t.Fatalf("%s: %v", stored, err)
		}
		if again, err := json.Marshal(restored); err != nil || string(again) != string(stored) {
			t.Errorf("%s became %s, %v", stored, again, err)
		}
	})
}
