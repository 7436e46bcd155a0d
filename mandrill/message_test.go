package mandrill

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"slices"
	"testing"
)

// TestDocumentedFields compares the types with Mailchimp's description of the API.
func TestDocumentedFields(t *testing.T) {
	data, err := os.ReadFile("../../shared/mandrill/transactional.openapi.json")
	if err != nil {
		t.Skip("Mailchimp's description of the API is not here")
	}
	type schema struct {
		Properties map[string]*schema
		Items      *schema
		Enum       []string
		AllOf      []*schema `json:"allOf"`
	}
	var description struct {
		Components struct{ Schemas map[string]*schema }
	}
	// A few schemas elsewhere have enums of numbers and the like.
	var raw struct {
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	description.Components.Schemas = make(map[string]*schema)
	for _, name := range []string{
		"MessagesSendRequest", "MessagesSendTemplateRequest", "MessagesRequestComponent", "MergeVar", "MessagesSendResult",
	} {
		var s schema
		if err := json.Unmarshal(raw.Components.Schemas[name], &s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		description.Components.Schemas[name] = &s
	}
	schemas := description.Components.Schemas
	message := schemas["MessagesRequestComponent"].Properties
	for _, test := range []struct {
		ours  reflect.Type
		their map[string]*schema
		more  []string
	}{
		{reflect.TypeFor[sendBody](), schemas["MessagesSendRequest"].AllOf[1].Properties, []string{"key", "delivery"}},
		{
			reflect.TypeFor[templateBody](), schemas["MessagesSendTemplateRequest"].AllOf[1].Properties,
			[]string{"key", "delivery"},
		},
		{
			reflect.TypeFor[TemplateContent](),
			schemas["MessagesSendTemplateRequest"].AllOf[1].Properties["template_content"].Items.Properties, nil,
		},
		{reflect.TypeFor[Message](), message, nil},
		{reflect.TypeFor[To](), message["to"].Items.Properties, nil},
		{reflect.TypeFor[RecipientVars](), message["merge_vars"].Items.Properties, nil},
		{reflect.TypeFor[RecipientMetadata](), message["recipient_metadata"].Items.Properties, nil},
		{reflect.TypeFor[Attachment](), message["attachments"].Items.Properties, nil},
		{reflect.TypeFor[Attachment](), message["images"].Items.Properties, nil},
		{reflect.TypeFor[MergeVar](), schemas["MergeVar"].Properties, nil},
	} {
		ours := slices.Sorted(maps.Keys(fieldsOf(test.ours)))
		theirs := slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(test.their)), test.more...)))
		if !slices.Equal(ours, theirs) {
			t.Errorf("%s has\n%v, the description\n%v", test.ours, ours, theirs)
		}
	}
	result := schemas["MessagesSendResult"].Properties
	if got := result["status"].Enum; !slices.Equal(got, Statuses) {
		t.Errorf("statuses %v", got)
	}
	if got := result["reject_reason"].Enum; !slices.Equal(got, RejectReasons) {
		t.Errorf("reject reasons %v", got)
	}
	for _, reason := range accountReasons {
		if !slices.Contains(result["queued_reason"].Enum, reason) {
			t.Errorf("there is no queued reason %s", reason)
		}
	}
}
