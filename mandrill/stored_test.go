package mandrill

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
)

// TestWithout reduces a stored message to some of its recipients, and leaves all else as it was.
func TestWithout(t *testing.T) {
	const body = `{"message":{"from_email":"a@example.com","subject":"1 < 2",` +
		`"to":[{"email":"ada@example.net","name":"Ada"},{"email":"bob@example.net","type":"cc"},` +
		`{"email":"eve@example.net"}],"metadata":{"n":12345678901234567890}},"send_at":"2030-01-01 00:00:00"}`
	const want = `{"message":{"from_email":"a@example.com","subject":"1 < 2",` +
		`"to":[{"email":"bob@example.net","type":"cc"}],` +
		`"metadata":{"n":12345678901234567890}},"send_at":"2030-01-01 00:00:00"}`
	stored, err := ParseStored([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	reduced, err := stored.Without([]string{"ADA@example.net", "eve@example.net"})
	if err != nil {
		t.Fatal(err)
	}
	var got, expected any
	if err := json.Unmarshal(reduced.body, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, expected) || !slices.Equal(reduced.Recipients(), []string{"bob@example.net"}) ||
		!reduced.scheduled || reduced.SenderDomain() != "example.com" || len(stored.Recipients()) != 3 {
		t.Errorf("got %s", reduced.body)
	}
	if _, err := stored.Without(stored.Recipients()); err == nil {
		t.Error("a message without recipients is no error")
	}
}
