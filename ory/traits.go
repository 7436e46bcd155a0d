package ory

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// TraitsOf returns pointers to the traits that hold the addresses, such as "#/traits/email": for each address the first
// one in the order of the traits' names. An address that no trait holds has none.
func (h *Hook) TraitsOf(addresses []string) (pointers []string) {
	identity, ok := h.Ctx["identity"].(map[string]any)
	if !ok {
		flow, _ := h.Ctx["flow"].(map[string]any)
		identity, _ = flow["identity"].(map[string]any)
	}
	for _, address := range addresses {
		pointer, found := pointerTo(address, identity["traits"], "#/traits")
		if found && !slices.Contains(pointers, pointer) {
			pointers = append(pointers, pointer)
		}
	}
	return pointers
}

// pointerTo returns a pointer to the trait with the address within a value, which is at the pointer at. Ory keeps the
// case that the person typed in traits, and its forms have one field for an array.
func pointerTo(address string, value any, at string) (pointer string, found bool) {
	switch value := value.(type) {
	case string:
		return at, strings.EqualFold(strings.TrimSpace(value), address)
	case []any:
		return at, slices.ContainsFunc(value, func(element any) bool {
			_, found := pointerTo(address, element, at)
			return found
		})
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			if pointer, found = pointerTo(address, value[name], at+"/"+pointerToken(name)); found {
				return pointer, true
			}
		}
	}
	return "", false
}

// pointerToken returns a name as a JSON pointer in a URI fragment has it (RFC 6901).
func pointerToken(name string) string {
	return url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
}
