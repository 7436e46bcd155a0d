package merge

import (
	"regexp"
	"strings"
)

var (
	mailchimpTag  = regexp.MustCompile(`\*\|([^|*\n]{1,500})\|\*`)
	mailchimpTest = regexp.MustCompile(`^\s*([\w.-]+)\s*(?:(!=|<=|>=|=|<|>)\s*(.*?)\s*)?$`)
)

// branch is an IF that isn't ended yet.
type branch struct {
	// shown reports whether the present part is, taken whether one was, outside whether the whole is.
	shown, taken, outside bool
}

// mailchimp fills *|…|*. Values go in as they are, in HTML too.
func (f *filler) mailchimp(s string, _ bool) string {
	var filled strings.Builder
	var branches []branch
	shown, last := true, 0
	for _, at := range mailchimpTag.FindAllStringSubmatchIndex(s, -1) {
		value := ""
		if shown {
			value = s[last:at[0]]
		}
		last = at[1]
		tag := s[at[2]:at[3]]
		keyword, argument, _ := strings.Cut(tag, ":")
		n := len(branches)
		switch keyword = strings.ToUpper(strings.TrimSpace(keyword)); keyword {
		case "IF", "IFNOT":
			holds := f.holds(argument) == (keyword == "IF")
			branches = append(branches, branch{shown && holds, holds, shown})
		case "ELSEIF", "ELSE":
			if n == 0 {
				f.problem("*|%s|* has no IF before it", tag)
				break
			}
			b := &branches[n-1]
			holds := !b.taken && (keyword == "ELSE" || f.holds(argument))
			b.shown, b.taken = b.outside && holds, b.taken || holds
		case "END":
			if n == 0 {
				f.problem("*|%s|* has no IF before it", tag)
				break
			}
			branches = branches[:n-1]
		default:
			if shown {
				value += f.mailchimpValue(s[at[0]:at[1]], keyword, argument)
			}
		}
		if err := f.step(len(value)); err != nil {
			f.problem("%v: the part stays as it is", err)
			return s
		}
		filled.WriteString(value)
		shown = len(branches) == 0 || branches[len(branches)-1].shown
	}
	if len(branches) > 0 {
		f.problem("an *|IF:…|* has no *|END:IF|*")
	}
	if shown {
		filled.WriteString(s[last:]) // no more than there was
	}
	return filled.String()
}

func (f *filler) holds(condition string) bool {
	parts := mailchimpTest.FindStringSubmatch(condition)
	if parts == nil {
		f.problem("*|IF:%s|* is no condition", condition)
		return false
	}
	value, known := f.vars[strings.ToLower(parts[1])]
	if parts[2] == "" {
		return given(value)
	}
	// Without a value, no comparison but != holds.
	return (known || parts[2] == "!=") && compare(value, parts[2], strings.Trim(parts[3], `"'`))
}

// mailchimpValue is what stands in place of a tag. One without a value stays as it is.
func (f *filler) mailchimpValue(tag, keyword, argument string) string {
	name := argument
	switch keyword {
	case "DATE":
		return date(argument)
	case "CURRENT_YEAR":
		return date("Y")
	case "UNSUB":
		return argument
	case "HTML", "UPPER", "LOWER", "TITLE", "URL":
	default:
		name = keyword
		if argument != "" {
			name += ":" + argument
		}
	}
	value, known := f.vars[strings.ToLower(strings.TrimSpace(name))]
	if !known {
		f.problem("%s has no value and stays as it is", tag)
		return tag
	}
	changed, _ := change(strings.ToLower(keyword), text(value))
	return changed
}
