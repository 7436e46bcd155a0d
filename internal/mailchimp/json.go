package mailchimp

import (
	"bytes"
	"encoding/json"
	"io"
)

// Encode returns a value as JSON. Unlike json.Marshal, it doesn't escape HTML, which would only make mails larger.
func Encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}

// DecodeObject decodes a text that is one JSON object and nothing else. Its numbers are json.Number. Errors are
// *InvalidError, and call the object by its name, such as "the message".
func DecodeObject(data []byte, name string) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, Invalid("", "%s is not valid JSON", name)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, Invalid("", "there is something after %s", name)
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, WrongType(name, "an object", value)
	}
	return object, nil
}

// typeName returns the name of a decoded value's JSON type, with its article.
func typeName(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case []any:
		return "an array"
	default:
		return "an object"
	}
}
