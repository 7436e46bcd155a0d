package view

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// framePolicy is that of a mail. The page's frame-src keeps links in it from leading away.
const framePolicy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

// Frame writes a mail's HTML for a frame of a page. Images that come with the mail are put in.
func Frame(w http.ResponseWriter, content string, images []mandrill.Attachment) {
	harden(w)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", framePolicy)
	h.Set("X-DNS-Prefetch-Control", "off")
	for _, image := range images {
		if image.Name != "" && strings.HasPrefix(strings.ToLower(image.Type), "image/") {
			content = strings.ReplaceAll(content, "cid:"+image.Name, "data:"+image.Type+";base64,"+image.Content)
		}
	}
	_, _ = w.Write(still(content)) // the client is gone
}

// still takes off what makes a browser connect before it asks any policy: links in the head, frames, and the targets of
// links. All else stays as it is.
func still(content string) []byte {
	var kept bytes.Buffer
	tokens := html.NewTokenizer(strings.NewReader(content))
	inFrame := false
	for {
		kind := tokens.Next()
		if kind == html.ErrorToken {
			// A tag that isn't closed is none, and what comes after it must not close it.
			// The attribute goes to the body that is there. Else the keyboard couldn't scroll a mail that has no links.
			kept.WriteString(`<body tabindex="0">`)
			return kept.Bytes()
		}
		raw := bytes.Clone(tokens.Raw())
		if inFrame && kind == html.TextToken {
			continue // what stands in an <iframe> is no text of the mail
		}
		inFrame = false
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			kept.Write(raw)
			continue
		}
		token := tokens.Token()
		switch token.Data {
		case "link", "base", "frame", "embed", "object":
		case "iframe":
			inFrame = kind == html.StartTagToken
		case "meta":
			if _, refreshes := attribute(token, "http-equiv"); !refreshes {
				kept.Write(raw)
			}
		case "noscript":
			tokens.NextIsNotRawText() // no script runs: it is shown
			kept.Write(raw)
		case "a", "area":
			kept.WriteString(withoutTarget(token))
		default:
			kept.Write(raw)
		}
	}
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
func withoutTarget(link html.Token) string {
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
	return link.String()
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
