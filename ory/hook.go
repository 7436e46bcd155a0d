package ory

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
)

// MaxDepth is how deep the arrays and objects of a ctx may be nested. Those of Ory reach 8.
const MaxDepth = 128

// A Reader turns a request into a hook.
type Reader struct {
	// Auth says which calls are let in.
	Auth Auth
	// MaxBody is the largest body that is read, in bytes.
	MaxBody int64
	// Memory bounds what hooks hold. Default: no bound.
	Memory *Memory
}

// A Hook is one call of Ory's.
type Hook struct {
	// Body is what came, byte by byte.
	Body string
	// Ctx is the body as encoding/json decodes it: numbers are float64, and what is not UTF-8
	// became U+FFFD.
	Ctx map[string]any

	release func()
}

// Release gives back the memory that the hook was counted with. It is to be called once, when neither Body nor Ctx is
// used any more.
func (h *Hook) Release() { h.release() }

// Read checks a request in the order method, credentials, content type, size, memory, JSON, and returns
// the hook or the first objection. The caller releases the hook.
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
	release, ok := rd.Memory.take(r, rd.MaxBody)
	if !ok {
		return nil, ErrBusy
	}
	hook, err := rd.decode(r)
	if err != nil {
		release()
		return nil, err
	}
	hook.release = release
	return hook, nil
}

func (rd *Reader) decode(r *http.Request) (*Hook, *Error) {
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

// isJSON reports whether a Content-Type is JSON's, whatever its parameters.
func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return mediaType == "application/json" && (err == nil || errors.Is(err, mime.ErrInvalidMediaParameter))
}

// scratch is room for what was read and isn't in the body yet.
var scratch = sync.Pool{New: func() any { return new([16 << 10]byte) }}

func (rd *Reader) readBody(r *http.Request) (string, *Error) {
	room := scratch.Get().(*[16 << 10]byte)
	defer scratch.Put(room)
	var body strings.Builder
	body.Grow(int(max(0, r.ContentLength)))
	n, err := io.CopyBuffer(&body, io.LimitReader(r.Body, rd.MaxBody+1), room[:])
	var tooLarge *http.MaxBytesError
	switch {
	case n > rd.MaxBody, errors.As(err, &tooLarge):
		return "", ErrTooLarge
	case err != nil:
		return "", ErrUnreadable
	case n == 0:
		return "", ErrEmpty
	}
	return body.String(), nil
}
