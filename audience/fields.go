package audience

import "github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/internal/mailchimp"

// InvalidError says what is wrong with a change. It has no values, but may name keys that a template took from what
// a person typed.
type InvalidError = mailchimp.InvalidError

// readString reads a string. Null is one that is left out.
func readString(object map[string]any, path, name string, to *string) error {
	value := object[name]
	if value == nil {
		return nil
	}
	text, ok := value.(string)
	if !ok {
		return mailchimp.WrongType(mailchimp.Join(path, name), "a string", value)
	}
	*to = text
	return nil
}

// readObject reads an object, without what is null in it.
func readObject(object map[string]any, name string, to *map[string]any) error {
	value := object[name]
	if value == nil {
		return nil
	}
	read, ok := value.(map[string]any)
	if !ok {
		return mailchimp.WrongType(name, "an object", value)
	}
	*to = make(map[string]any, len(read))
	for key, child := range read {
		if child != nil {
			(*to)[key] = child
		}
	}
	return nil
}
