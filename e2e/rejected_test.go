package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
)

const (
	rejected     = "reject@test.mandrillapp.com"
	rejectedText = "This address can't receive our e-mail. Please check it or use another one."
)

// withTrait has a configuration's schema hold the address in a trait of another name.
func withTrait(t *testing.T, name string, config func(*kratos, string) []byte) func(*kratos, string) []byte {
	t.Helper()
	schema, err := os.ReadFile("person.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	schema = bytes.Replace(schema, []byte(`"email": {`), []byte(`"`+name+`": {`), 1)
	return func(k *kratos, folder string) []byte {
		var decoded object
		if err := json.Unmarshal(config(k, folder), &decoded); err != nil {
			t.Fatal(err)
		}
		asObject(decoded["identity"])["schemas"] = []object{
			{"id": "person", "url": "base64://" + base64.StdEncoding.EncodeToString(schema)},
		}
		encoded, err := json.Marshal(decoded)
		if err != nil {
			t.Fatal(err)
		}
		return encoded
	}
}

// TestRejectedAddress shows the rejection at the field of the form that holds the address, and at the form: in Ory's
// second step the field is hidden.
func TestRejectedAddress(t *testing.T) {
	t.Parallel()
	for _, trait := range []string{"email", "mail"} {
		t.Run(trait, func(t *testing.T) {
			t.Parallel()
			m := newMandrill(t)
			e := flowsEdge(t, m, "delivery sync\nstore_result\n")
			hooks := []object{hook(e, "registration-parse", "parse", "header"), {"hook": "session"}}
			k := newKratos(t, withTrait(t, trait, configure(e, object{
				"registration": object{"after": object{"password": object{"hooks": hooks}}},
			})))
			for _, browser := range []bool{false, true} {
				rejectedThenAccepted(t, m, k, trait, browser)
			}
		})
	}
}

// rejectedThenAccepted has a person enter an address that Mandrill rejects, and then another one.
func rejectedThenAccepted(t *testing.T, m *mandrill, k *kratos, trait string, browser bool) {
	t.Helper()
	p := newPerson(t, k, browser)
	flow := p.start("registration")
	fields := object{"method": "password", "password": password, "traits": object{trait: rejected}}
	step := p.submit(flow, object{"method": "profile", "traits": fields["traits"]})
	if fieldType(step.body, "traits."+trait) != "hidden" {
		t.Errorf("the second step shows %s", step.text)
	}
	got := p.submit(flow, fields)
	if seen := got.errors(); got.status != http.StatusBadRequest || len(seen) != 2 ||
		seen["traits."+trait] != rejectedText || seen[""] != rejectedText ||
		!strings.Contains(got.text, "9422003") || p.signedIn() {
		t.Errorf("browser %v sees %d %v %s", browser, got.status, got.errors(), got.text)
	}
	if found := k.identities(rejected); len(found) != 0 {
		t.Errorf("it is stored: %v", found)
	}
	address := map[bool]string{false: "api@example.net", true: "browser@example.net"}[browser]
	fields["traits"] = object{trait: address}
	if got := p.submit(flow, fields); got.status != http.StatusOK || !p.signedIn() {
		t.Errorf("with another address, browser %v sees %d %s", browser, got.status, got.text)
	}
	m.arrives(t, address, "registration-parse", "Confirm your e-mail address")
	found := k.identities(address)
	if len(found) != 1 {
		t.Fatalf("%d are stored", len(found))
	}
	stored := at(found[0], "metadata_admin", "mailchimp")
	recipients, _ := at(stored, "recipients").([]any)
	if at(stored, "status") != "sent" || len(recipients) != 1 ||
		at(recipients[0], "email") != address || at(recipients[0], "_id") == nil {
		t.Errorf("metadata_admin is %v", at(found[0], "metadata_admin"))
	}
}

// fieldType returns the type of a flow's field.
func fieldType(flow object, name string) any {
	nodes, _ := at(flow, "ui", "nodes").([]any)
	for _, node := range nodes {
		if at(node, "attributes", "name") == name {
			return at(node, "attributes", "type")
		}
	}
	return nil
}
