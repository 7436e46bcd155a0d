package caddymodule

import (
	"encoding/json"
	"regexp"
	"strings"
)

const (
	// shortText is the length up to which each word of a text is masked: it is a name, an address or a subject.
	shortText = 60
	// run is how many words in a row of a longer text are masked. Fewer may be in any sentence.
	run = 3
	// mask stands for what was masked.
	mask = "…"
)

var (
	wordPattern = regexp.MustCompile(`[\pL\pN]+`)
	// addressPattern finds what may be an address, whether it is in the message or not.
	addressPattern = regexp.MustCompile(`[^\s"'<>(),;:]+@[^\s"'<>(),;:]+`)
)

// masked returns Mailchimp's words about a message without what stands in the message itself: addresses, names, texts.
//
// It returns nothing for a message that cannot be read.
func masked(words string, message []byte) string {
	var body any
	if json.Unmarshal(message, &body) != nil {
		return ""
	}
	words = addressPattern.ReplaceAllString(words, mask)
	alone, together := wordsOf(body)
	found := wordPattern.FindAllStringIndex(words, -1)
	lower := make([]string, len(found))
	hidden := make([]bool, len(found))
	for i, at := range found {
		lower[i] = strings.ToLower(words[at[0]:at[1]])
		hidden[i] = alone[lower[i]]
	}
	for i := 0; i+run <= len(lower); i++ {
		if together[strings.Join(lower[i:i+run], " ")] {
			hidden[i], hidden[i+1], hidden[i+2] = true, true, true
		}
	}
	var shown strings.Builder
	last := 0
	for i, at := range found {
		if !hidden[i] {
			continue
		}
		shown.WriteString(words[last:at[0]] + mask)
		last = at[1]
	}
	shown.WriteString(words[last:])
	return shown.String()
}

// wordsOf returns the words of a message's short texts, and the runs of words of its longer ones.
func wordsOf(body any) (alone, together map[string]bool) {
	alone, together = make(map[string]bool), make(map[string]bool)
	for _, text := range textsIn(body, nil) {
		words := wordPattern.FindAllString(strings.ToLower(text), -1)
		for i, word := range words {
			if len(text) <= shortText && len(word) >= run {
				alone[word] = true
			}
			if i+run <= len(words) {
				together[strings.Join(words[i:i+run], " ")] = true
			}
		}
	}
	return alone, together
}

// textsIn collects the strings of a decoded JSON value, but not the names of fields.
func textsIn(value any, texts []string) []string {
	switch value := value.(type) {
	case string:
		return append(texts, value)
	case []any:
		for _, element := range value {
			texts = textsIn(element, texts)
		}
	case map[string]any:
		for _, element := range value {
			texts = textsIn(element, texts)
		}
	}
	return texts
}
