package mandrill

import (
	"bytes"
	"encoding/json"
)

// unmarshalObject decodes an object, and leaves it alone if the JSON is of another type: PHP makes an empty array of an
// empty object.
func unmarshalObject(data json.RawMessage, object any) error {
	if !bytes.HasPrefix(data, []byte("{")) {
		return nil
	}
	return json.Unmarshal(data, object)
}
