package outbox

import (
	"fmt"
	"strings"
)

// arguments collects the arguments of a statement while its text is put together.
type arguments struct{ values []any }

// add adds an argument and returns its place, such as $3.
func (a *arguments) add(value any) string {
	if n, is := value.(int); is {
		value = int64(n)
	}
	a.values = append(a.values, value)
	return fmt.Sprintf("$%d", len(a.values))
}

// list adds arguments and returns their places, with commas in between.
func (a *arguments) list(values []string) string {
	places := make([]string, len(values))
	for i, value := range values {
		places[i] = a.add(value)
	}
	return strings.Join(places, ", ")
}
