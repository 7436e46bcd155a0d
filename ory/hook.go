package ory

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// MaxDepth is how deep the arrays and objects of a ctx may be nested. Those of Ory reach 8.
const MaxDepth = 128

// A Reader turns a request into a hook.
type Reader struct {
	// Auth says which calls are let in.
	Auth Auth
	// MaxBody is the largest body that is read, in bytes.
	MaxBody int64
}

// A Hook is one call of Ory's.
type Hook struct {
	// Body is what came, byte by byte.
	Body []byte
	// Ctx is the body as encoding/json decodes it: numbers are float64, and what is not UTF-8
	// became U+FFFD.
	Ctx map[string]any
}

// Read checks a request in the order method, credentials, content type, size, JSON, and returns
// the hook or the first objection.
func (rd *Reader) Read(r *http.Request) (*Hook, *Error) {
	if r.Method != http.MethodPost {
		return nil, ErrMethod
	}
	if !rd.Auth.Allows(r) {
		if rd.Auth.basic {
			return nil, errCredentialsBasic
		}
		return nil, ErrCredentials
	}
	if !isJSON(r.Header.Get("Content-Type")) {
		return nil, ErrContentType
	}
	if r.ContentLength > rd.MaxBody {
		return nil, ErrTooLarge
	}
	body, err := rd.readBody(r)
	if err != nil {
		return nil, err
	}
	ctx, err := DecodeCtx(body)
	if err != nil {
		return nil, err
	}
	return &Hook{Body: body, Ctx: ctx}, nil
}

// isJSON tells whether a Content-Type is JSON's, whatever its parameters.
func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return mediaType == "application/json" && (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter))
}

func (rd *Reader) readBody(r *http.Request) ([]byte, *Error) {
	var body bytes.Buffer
	if r.ContentLength > 0 {
		// ReadFrom wants room for one read more, which finds the end.
		body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	n, err := body.ReadFrom(io.LimitReader(r.Body, rd.MaxBody+1))
	var tooLarge *http.MaxBytesError
	switch {
	case n > rd.MaxBody, errors.As(err, &tooLarge):
		return nil, ErrTooLarge
	case err != nil:
		return nil, ErrUnreadable
	}
	return body.Bytes(), nil
}

// DecodeCtx decodes the body of a hook, with Read's checks of it.
func DecodeCtx(body []byte) (map[string]any, *Error) {
	if tooDeep(body) {
		return nil, ErrTooDeep
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return nil, ErrNotJSON
	}
	ctx, ok := value.(map[string]any)
	if !ok {
		return nil, ErrNotObject
	}
	return ctx, nil
}

// tooDeep tells whether brackets outside of strings are nested deeper than MaxDepth. It comes
// before decoding, which takes 2.5 KB for each level.
func tooDeep(body []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}
