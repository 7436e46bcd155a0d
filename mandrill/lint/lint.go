// Package lint says what a person who knows mail would object to in a message: things that Mandrill takes, and
// that readers, their mail programs or an attacker make trouble of.
package lint

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

const (
	// maxSubject is where phones and many lists of mails cut a subject off, in characters.
	maxSubject = 60
	// maxHTML is where Gmail clips a mail, in bytes.
	maxHTML = 102 << 10
)

// Check returns what is to be said of a message whose merge tags are filled.
func Check(m *mandrill.Message) []string {
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	if m.Text == "" && m.HTML != "" && !m.AutoText {
		say("No text part: some readers see nothing, and spam filters count it. Add message.text.")
	}
	switch n := utf8.RuneCountInString(m.Subject); {
	case strings.TrimSpace(m.Subject) == "":
		say("No subject.")
	case n > maxSubject:
		say("The subject has %d characters; many inboxes show about %d.", n, maxSubject)
	}
	if len(m.HTML) > maxHTML {
		say("The HTML has %d KB: Gmail clips a mail after 102 KB, and hides what stands below.", (len(m.HTML)+1023)>>10)
	}
	checkImages(m, say)
	return said
}

// checkImages looks at the images in the HTML. Each objection is made once, with the number of images.
func checkImages(m *mandrill.Message, say func(string, ...any)) {
	attached := make(map[string]bool)
	for _, image := range m.Images {
		attached[image.Name] = true
	}
	objections := make(map[string][]string)
	object := func(objection, source string) { objections[objection] = append(objections[objection], source) }
	const (
		noAlt    = "without alt: those who don't see images hear nothing of it"
		noHTTPS  = "not by https: mail programs block it or warn of it"
		relative = "with an address that means nothing in a mail: write it whole, with https://"
		inline   = "written into the HTML as data: Gmail and Outlook don't show it"
		notThere = "by cid, but not among message.images"
	)
	tokens := html.NewTokenizer(strings.NewReader(m.HTML))
	for tokens.Next() != html.ErrorToken {
		token := tokens.Token()
		if token.Data != "img" || token.Type == html.EndTagToken || token.Type == html.TextToken {
			continue
		}
		source, hasAlt := "", false
		for _, attribute := range token.Attr {
			switch attribute.Key {
			case "src":
				source = strings.TrimSpace(attribute.Val)
			case "alt":
				hasAlt = true
			}
		}
		if !hasAlt {
			object(noAlt, source)
		}
		scheme, rest, _ := strings.Cut(source, ":")
		switch u, err := url.Parse(source); strings.ToLower(scheme) {
		case "https":
		case "data":
			object(inline, "data:…")
		case "cid":
			if !attached[rest] {
				object(notThere, source)
			}
		default:
			if err == nil && u.Scheme == "http" {
				object(noHTTPS, source)
			} else {
				object(relative, source)
			}
		}
	}
	for _, objection := range []string{noAlt, noHTTPS, relative, inline, notThere} {
		switch sources := objections[objection]; len(sources) {
		case 0:
		case 1:
			say("An image %s (%s).", objection, shorten(sources[0]))
		default:
			say("%d images %s (%s first).", len(sources), objection, shorten(sources[0]))
		}
	}
}

func shorten(s string) string {
	if s == "" {
		return "no src"
	}
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
