package view

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// framePolicy is that of a mail. The page's frame-src keeps links in it from leading away.
const framePolicy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'self'"

// maxImages bounds what images that come with a mail add to its HTML, in bytes: a mail may name one many times.
const maxImages = 8 << 20

// Frame writes a mail's HTML for a frame of a page. Images that come with the mail are put in.
func Frame(w http.ResponseWriter, content string, images []mandrill.Attachment) {
	harden(w)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", framePolicy)
	h.Set("X-DNS-Prefetch-Control", "off")
	s := still{images: make(map[string]string), room: maxImages}
	for _, image := range images {
		if image.Name != "" && strings.HasPrefix(strings.ToLower(image.Type), "image/") {
			s.images[image.Name] = "data:" + image.Type + ";base64," + image.Content
		}
	}
	_, _ = w.Write(s.draw(content)) // the client is gone
}

// still removes the elements that make a browser connect before a content security policy applies: links in the head,
// frames, and the targets of links.
//
// Which text is raw depends on where a tag stands (in <svg>, <style> is a tag like another), and only a browser
// knows where. So in what is written no "<" begins a tag but those that were let through: it is escaped in text and
// attributes and set off in styles, and elements with raw text are left out or renamed, all but <style>.
type still struct {
	kept   bytes.Buffer
	images map[string]string
	room   int
}

var (
	leftOut = []string{
		"link", "base", "frame", "frameset", "embed", "object", "portal", "fencedframe", "svg", "math",
	}
	leftOutWithText = []string{"iframe", "noembed", "noframes", "script", "title"}
)

var tagName = regexp.MustCompile(`^[a-z][a-z0-9:_-]*$`)

func (s *still) draw(content string) []byte {
	tokens := html.NewTokenizer(strings.NewReader(content))
	unseen := false
	for {
		kind := tokens.Next()
		if kind == html.ErrorToken {
			// A tag that isn't closed is none.
			// The attribute goes to the body that is there. Else the keyboard couldn't scroll a mail that has no links.
			s.kept.WriteString(`<body tabindex="0">`)
			return s.kept.Bytes()
		}
		if kind == html.TextToken {
			if !unseen {
				s.kept.WriteString(strings.ReplaceAll(string(tokens.Raw()), "<", "&lt;"))
			}
			continue
		}
		unseen = false
		token := tokens.Token()
		switch {
		case kind == html.DoctypeToken:
			// Browsers draw by its identifiers.
			s.kept.WriteString("<!DOCTYPE " + strings.NewReplacer("<", "", ">", "").Replace(token.Data) + ">")
		case kind == html.CommentToken, !tagName.MatchString(token.Data):
		case kind == html.EndTagToken:
			s.end(token.Data)
		default:
			unseen = s.start(token, tokens)
		}
	}
}

// start writes a tag, and reports whether the text after it isn't to be seen.
func (s *still) start(tag html.Token, tokens *html.Tokenizer) (unseen bool) {
	if raw := slices.Contains(leftOutWithText, tag.Data); raw || slices.Contains(leftOut, tag.Data) {
		return raw
	}
	switch tag.Data {
	case "noscript":
		tokens.NextIsNotRawText() // no script runs: it is shown
		return false
	case "meta":
		if _, refreshes := attribute(tag, "http-equiv"); refreshes {
			return false
		}
	case "a", "area":
		tag = withoutTarget(tag)
	}
	tag.Data = renamed(tag.Data)
	tag.Attr = slices.DeleteFunc(tag.Attr, func(a html.Attribute) bool { return strings.ContainsAny(a.Key, "<>\"'`") })
	for i, a := range tag.Attr {
		if a.Key == "style" {
			tag.Attr[i].Val = s.styled(a.Val)
		} else if name, ok := strings.CutPrefix(strings.TrimSpace(a.Val), "cid:"); ok {
			tag.Attr[i].Val = s.image(a.Val, name)
		}
	}
	s.kept.WriteString(tag.String())
	if tag.Data != "style" {
		return false
	}
	if tokens.Next() == html.TextToken {
		s.kept.WriteString(tagInStyle.ReplaceAllString(s.styled(string(tokens.Raw())), "< $1"))
	}
	s.kept.WriteString("</style>")
	return false
}

// end writes an end tag. That of a style is written with it.
func (s *still) end(name string) {
	if name != "style" && name != "noscript" && !slices.Contains(leftOut, name) &&
		!slices.Contains(leftOutWithText, name) {
		s.kept.WriteString("</" + renamed(name) + ">")
	}
}

// renamed is an element of the same look whose text isn't raw.
func renamed(name string) string {
	switch name {
	case "xmp", "plaintext", "listing", "textarea":
		return "pre"
	}
	return name
}

var (
	tagInStyle = regexp.MustCompile(`<([A-Za-z/!?])`)
	cidInStyle = regexp.MustCompile(`cid:([^\s"'()]+)`)
)

// styled puts images into a style, which may be within the comment that hides it from the browsers of old.
func (s *still) styled(style string) string {
	style = strings.NewReplacer("<!--", " ", "-->", " ").Replace(style)
	return cidInStyle.ReplaceAllStringFunc(style, func(cid string) string { return s.image(cid, cid[len("cid:"):]) })
}

// image is what stands for an image of the mail, as long as there is room.
func (s *still) image(cid, name string) string {
	data, known := s.images[name]
	if !known || len(data) > s.room {
		return cid
	}
	s.room -= len(data)
	return data
}

func attribute(token html.Token, name string) (string, bool) {
	for _, a := range token.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// withoutTarget keeps a link's look, and shows where it leads when a mouse is over it.
func withoutTarget(link html.Token) html.Token {
	href, leads := attribute(link, "href")
	_, titled := attribute(link, "title")
	link.Attr = slices.DeleteFunc(link.Attr, func(a html.Attribute) bool {
		return slices.Contains([]string{"href", "xlink:href", "ping", "target"}, a.Key)
	})
	if leads {
		link.Attr = append(link.Attr, html.Attribute{Key: "href", Val: "#"})
		if !titled {
			link.Attr = append(link.Attr, html.Attribute{Key: "title", Val: href})
		}
	}
	return link
}

// links are where a mail leads to, with the text of each link.
func links(content string) [][2]string {
	found := [][2]string{}
	tokens := html.NewTokenizer(strings.NewReader(content))
	open := false
	for {
		kind := tokens.Next()
		token := tokens.Token()
		switch {
		case kind == html.ErrorToken:
			return found
		case kind == html.StartTagToken && token.Data == "a":
			href, leads := attribute(token, "href")
			if open = leads; leads {
				found = append(found, [2]string{"", href})
			}
		case kind == html.EndTagToken && token.Data == "a":
			open = false
		case open && kind == html.TextToken:
			last := &found[len(found)-1]
			last[0] = strings.Join(strings.Fields(last[0]+" "+token.Data), " ")
		}
	}
}

// File writes the n-th of files, for the reader to keep.
func File(w http.ResponseWriter, files []mandrill.Attachment, n string) {
	i, err := strconv.Atoi(n)
	if err != nil || i < 0 || i >= len(files) {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	data, err := base64.StdEncoding.DecodeString(files[i].Content)
	if err != nil {
		http.Error(w, "the file is not valid base64", http.StatusUnprocessableEntity)
		return
	}
	harden(w)
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	_, _ = w.Write(data) // the client is gone
}
