package view

import (
	"bytes"
	"encoding/base64"
	"net/http"
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

// still takes off what makes a browser connect before any policy is asked, as <link rel="preconnect"> does, and gives
// links a target that the sandbox forbids. All else stays as it is.
func still(content string) []byte {
	const base = `<base target="_blank">`
	var kept bytes.Buffer
	tokens := html.NewTokenizer(strings.NewReader(content))
	based := false
	for {
		kind := tokens.Next()
		raw := tokens.Raw()
		if !based && kind != html.DoctypeToken && kind != html.CommentToken && (kind != html.TextToken || strings.TrimSpace(string(raw)) != "") {
			// Not before the doctype: that would change how the browser draws.
			kept.WriteString(base)
			based = true
		}
		if kind == html.ErrorToken {
			kept.Write(raw)
			return kept.Bytes()
		}
		if name, _ := tokens.TagName(); kind == html.StartTagToken || kind == html.SelfClosingTagToken {
			if string(name) == "link" || string(name) == "base" {
				continue
			}
		}
		kept.Write(raw)
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
