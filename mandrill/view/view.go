// Package view is what the pages that show mails have in common: the sandbox's inbox, and the preview of
// templates. The pages fetch nothing from elsewhere, and a mail is drawn in a frame in which no script runs,
// nothing is fetched and no form is sent.
package view

import (
	"embed"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
)

//go:embed assets
var assets embed.FS

// pagePolicy lets a page run its own scripts and show mails of its own origin, and nothing else.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; frame-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Assets serves the files that the pages share, and those of one page, by their names in its files.
func Assets(files fs.FS) http.Handler {
	shared, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		from := files
		if _, err := fs.Stat(shared, name); err == nil {
			from = shared
		}
		harden(w)
		http.ServeFileFS(w, r, from, name)
	})
}

// Page writes a page.
func Page(w http.ResponseWriter, page []byte) {
	harden(w)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	_, _ = w.Write(page) // the client is gone
}

func harden(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	// Also what is in memory is gone after a restart.
	h.Set("Cache-Control", "no-store")
}

// LocalOnly refuses clients beyond loopback, and Host headers that aren't this machine's: a page on
// the Internet can make a browser call a name that leads to 127.0.0.1. It refuses what a proxy has forwarded, too: a
// proxy on this machine is a client on loopback, whoever its own client is. Those who are refused read the remedy.
func LocalOnly(next http.Handler, remedy string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.RemoteAddr) || !isLocalName(r.Host) || isForwarded(r) {
			http.Error(w, "The mail here is shown on its own machine alone, by the name localhost and without a proxy.\n"+remedy,
				http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// forwardedBy are headers that proxies add, beside those that begin with X-Forwarded-.
var forwardedBy = []string{"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip"}

// isForwarded reports whether a request has a header of a proxy, even an empty one.
func isForwarded(r *http.Request) bool {
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Forwarded-") || slices.Contains(forwardedBy, name) {
			return true
		}
	}
	return false
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func isLocalName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
