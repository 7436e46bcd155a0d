package mandrill

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"
)

// InvalidError says what is wrong with a message. It has no values, but for the sender's domain, and may name
// keys that a template took from what a person typed.
type InvalidError = mailchimp.InvalidError

// checkFields compares a decoded value with the type that documents it: unknown fields and values
// of another JSON type are errors. Null stands for any value that is left out.
func checkFields(path string, value any, documented reflect.Type) error {
	if value == nil || documented.Kind() == reflect.Interface {
		return nil
	}
	switch documented.Kind() {
	case reflect.Struct:
		object, ok := value.(map[string]any)
		if !ok {
			return mailchimp.WrongType(path, "an object", value)
		}
		return checkStruct(path, object, documented)
	case reflect.Map:
		if _, ok := value.(map[string]any); !ok {
			return mailchimp.WrongType(path, "an object", value)
		}
	case reflect.Slice:
		array, ok := value.([]any)
		if !ok {
			return mailchimp.WrongType(path, "an array", value)
		}
		for i, element := range array {
			place := path + "[" + strconv.Itoa(i) + "]"
			if element == nil {
				return mailchimp.WrongType(place, article(documented.Elem()), nil)
			}
			if err := checkFields(place, element, documented.Elem()); err != nil {
				return err
			}
		}
	case reflect.String:
		if _, ok := value.(string); !ok {
			return mailchimp.WrongType(path, "a string", value)
		}
	case reflect.Bool:
		if _, ok := value.(bool); !ok {
			return mailchimp.WrongType(path, "a boolean", value)
		}
	case reflect.Int:
		number, ok := value.(json.Number)
		if !ok {
			return mailchimp.WrongType(path, "a number", value)
		}
		if _, err := number.Int64(); err != nil {
			return mailchimp.Invalid(path, "must be a whole number")
		}
	default:
		panic("a documented field has the type " + documented.String())
	}
	return nil
}

func checkStruct(path string, object map[string]any, documented reflect.Type) error {
	fields := fieldsOf(documented)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		field, ok := fields[name]
		if !ok {
			if hint := hintFor(path, name); hint != "" {
				return mailchimp.QuotingKey(name, mailchimp.Invalid(
					mailchimp.Join(path, mailchimp.QuoteKey(name)), "unknown field: %s", hint))
			}
			return mailchimp.UnknownField(path, name, slices.Sorted(maps.Keys(fields)))
		}
		if err := checkFields(mailchimp.Join(path, name), object[name], field); err != nil {
			return err
		}
	}
	return nil
}

// hintFor says where a field belongs that is often put elsewhere, or is empty.
func hintFor(path, name string) string {
	if path == "" {
		if _, ok := fieldsOf(reflect.TypeFor[Message]())[name]; ok {
			return "it belongs into message, as in { message: { " + name + ": … } }"
		}
		return ""
	}
	if path != "message" {
		return ""
	}
	for _, body := range documented {
		if _, ok := fieldsOf(body)[name]; ok && name != "message" {
			return "it belongs beside message, not into it"
		}
	}
	switch strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name)) {
	case "replyto":
		return "a reply address is a header: headers: { 'Reply-To': … }"
	case "cc", "bcc":
		return "copies are recipients: to: [{ email: …, type: '" + strings.ToLower(name) + "' }]"
	}
	return ""
}

// known are the results of fieldsOf, which reflection takes long to find.
var known sync.Map

// fieldsOf returns the documented fields by their names in JSON.
func fieldsOf(documented reflect.Type) map[string]reflect.Type {
	if fields, ok := known.Load(documented); ok {
		return fields.(map[string]reflect.Type)
	}
	fields := make(map[string]reflect.Type)
	for _, field := range reflect.VisibleFields(documented) {
		if name := field.Tag.Get("json"); name != "" {
			fields[name] = field.Type
		}
	}
	known.Store(documented, fields)
	return fields
}

func article(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "an array"
	case reflect.Bool:
		return "a boolean"
	case reflect.Int:
		return "a number"
	default:
		return "a string"
	}
}
