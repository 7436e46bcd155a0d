package sandbox

import (
	"net"
	"net/http"
	"strings"
)

// LocalOnly refuses clients beyond loopback, and Host headers that aren't this machine's: a page on
// the Internet can make a browser call a name that leads to 127.0.0.1.
func LocalOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.RemoteAddr) || !isLocalName(r.Host) {
			http.Error(w, "The mail in this sandbox is shown on its own machine alone, by the name localhost.\nWrite allow_remote into the block of mandrill_sandbox to let others in.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
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
