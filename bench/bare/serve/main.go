// Command serve inserts the body of each request into bare River, and answers 204. Usage: serve <address> <SQLite file>
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/bench/bare"
)

func main() {
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(address, file string) error {
	queue, err := bare.SQLite(context.Background(), file)
	if err != nil {
		return err
	}
	return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = queue.Insert(body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
}
