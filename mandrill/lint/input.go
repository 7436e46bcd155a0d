package lint

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill/merge"
)

// maxInputs bounds how many fields of a ctx are tried.
const maxInputs = 60

// typed are the parts of a ctx that hold what a person typed, or may make a program send: in a flow's hook, and in what
// Kratos sends to a courier.
var typed = [][]string{
	{"identity", "traits"},
	{"flow", "identity", "traits"},
	{"flow", "transient_payload"},
	{"transient_payload"},
	{"template_data", "identity", "traits"},
	{"template_data", "traits"},
	{"template_data", "transient_payload"},
	{"request_headers", "User-Agent"},
}

// input is a field of ctx, and what tells it from the others in the mail.
type input struct {
	path string
	mark int
}

// Input evaluates the template once more, with HTML and merge tags appended to all that a person typed into ctx, and
// says which fields come out unescaped. Evaluate returns a message as the template does; what it can't evaluate isn't
// judged.
func Input(ctx map[string]any, evaluate func(ctx any) ([]byte, error)) []string {
	if ctx == nil {
		return nil
	}
	var inputs []input
	marked := mark(ctx, nil, &inputs)
	if len(inputs) == 0 {
		return nil
	}
	if message, err := evaluate(marked); err == nil {
		return judge(message, inputs)
	}
	// A field that the template compares or takes apart: the others one by one.
	var said []string
	for _, one := range inputs {
		var alone []input
		message, err := evaluate(mark(ctx, &one, &alone))
		if err == nil {
			said = append(said, judge(message, []input{one})...)
		}
	}
	return said
}

const (
	htmlMark = "<i x%d>"
	mailMark = "*|X%d|*"
	barsMark = "{{x%d}}"
)

// mark returns a ctx of which the inputs, or only one of them, carry marks.
func mark(ctx map[string]any, only *input, inputs *[]input) any {
	var walk func(value any, path []string) any
	walk = func(value any, path []string) any {
		switch value := value.(type) {
		case map[string]any:
			copied := make(map[string]any, len(value))
			for _, key := range slices.Sorted(maps.Keys(value)) {
				copied[key] = walk(value[key], append(slices.Clip(path), key))
			}
			return copied
		case []any:
			copied := make([]any, len(value))
			for i, element := range value {
				copied[i] = walk(element, append(slices.Clip(path), strconv.Itoa(i)))
			}
			return copied
		case string:
			if !isTyped(path) || len(*inputs) >= maxInputs {
				return value
			}
			found := input{"ctx." + strings.Join(path, "."), len(*inputs)}
			*inputs = append(*inputs, found)
			if only != nil && only.mark != found.mark {
				return value
			}
			return value + fmt.Sprintf(htmlMark+mailMark+barsMark, found.mark, found.mark, found.mark)
		}
		return value
	}
	return walk(ctx, nil)
}

func isTyped(path []string) bool {
	return slices.ContainsFunc(typed, func(prefix []string) bool {
		return len(path) >= len(prefix) && slices.Equal(path[:len(prefix)], prefix)
	})
}

// judge says which marks came through.
func judge(message []byte, inputs []input) []string {
	var body struct {
		Message mandrill.Message `json:"message"`
	}
	if json.Unmarshal(message, &body) != nil {
		return nil
	}
	m := &body.Message
	tag, language := mailMark, "mailchimp"
	if m.MergeLanguage == "handlebars" {
		tag, language = barsMark, m.MergeLanguage
	}
	everything := strings.Join([]string{m.HTML, m.Text, m.Subject, m.FromName}, "\n")
	var said []string
	for _, one := range inputs {
		if strings.Contains(m.HTML, fmt.Sprintf(htmlMark, one.mark)) {
			said = append(said, one.path+
				" comes into the HTML unescaped: whoever typed it can write HTML into the mail. Put std.escapeStringXML around it.")
		}
		if merge.Enabled(m) && strings.Contains(everything, fmt.Sprintf(tag, one.mark)) {
			said = append(said, one.path+" comes into the mail with its merge tags, and merging ("+language+
				") is on: whoever typed it can read variables. Make it a merge variable.")
		}
	}
	return said
}
