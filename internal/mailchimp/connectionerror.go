package mailchimp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
)

// ErrNonsense is the cause of an error whose answer is not what the API's description promises.
var ErrNonsense = errors.New("the answer makes no sense")

// ConnectionError says why a call got no answer, or only a part of one. Its text is not that of its cause, which may
// quote the URL, or what the other side wrote, and so an address.
type ConnectionError struct {
	// Written reports whether the API may have the request.
	Written bool

	text  string
	cause error
}

func (e *ConnectionError) Error() string { return e.text }

func (e *ConnectionError) Unwrap() error { return e.cause }

// MayHaveArrived reports whether the API may have acted on a call that failed with err.
func MayHaveArrived(err error) bool {
	var connection *ConnectionError
	return errors.As(err, &connection) && connection.Written
}

func newConnectionError(cause error, written bool) *ConnectionError {
	text := "the connection could not be made"
	if written {
		text = "the connection broke"
	}
	var (
		network     *net.OpError
		certificate *tls.CertificateVerificationError
		timeout     interface{ Timeout() bool }
	)
	switch {
	case errors.Is(cause, context.Canceled):
		text = "the call was cancelled"
	case errors.As(cause, &timeout) && timeout.Timeout():
		text = "no answer in time"
	case errors.As(cause, &network):
		text = network.Error()
	case errors.As(cause, &certificate):
		text = certificate.Error()
	case errors.Is(cause, http.ErrSchemeMismatch):
		text = http.ErrSchemeMismatch.Error()
	}
	return &ConnectionError{Written: written, text: text, cause: cause}
}
