package mandrill

import "strings"

// headerCleaner keeps a string from beginning a header of its own.
var headerCleaner = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")

func cleanHeader(s string) string { return headerCleaner.Replace(s) }

// cleanField cleans a string that is bound for a header.
func cleanField(object map[string]any, field string) {
	if s, ok := object[field].(string); ok && strings.ContainsAny(s, "\r\n\x00") {
		object[field] = cleanHeader(s)
	}
}
