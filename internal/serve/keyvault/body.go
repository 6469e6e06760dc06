package keyvault

import (
	"cmp"
	"io"
	"net/http"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
)

// bodies reads the bodies of requests. The few operations whose body may be large (a
// restore) take turns, so that many of them at once do not fill the memory.
type bodies chan struct{}

const largeAtOnce = 2

func newBodies() bodies { return make(bodies, largeAtOnce) }

// read returns a body of at most limit bytes. The caller calls done when it needs it no more.
func (b bodies) read(r *http.Request, limit int64) (body []byte, done func(), err error) {
	limit, done = cmp.Or(limit, wire.DefaultBody), func() {}
	if limit > wire.DefaultBody && (r.ContentLength < 0 || r.ContentLength > wire.DefaultBody) {
		select {
		case b <- struct{}{}:
			done = func() { <-b }
		case <-r.Context().Done():
			return nil, nil, fault.Wrap(r.Context().Err(), fault.Unavailable, "", "The request was given up while it waited for its turn.")
		}
	}
	switch n := r.ContentLength; {
	case r.Body == http.NoBody:
	case n >= 0 && n <= limit: // as nearly all: its size is known
		body = make([]byte, n)
		_, err = io.ReadFull(r.Body, body)
	default:
		body, err = io.ReadAll(io.LimitReader(r.Body, limit+1))
	}
	if err != nil {
		err = fault.Wrap(err, fault.Invalid, "BadParameter", "The request body ended too early.")
	} else if int64(len(body)) > limit {
		err = fault.New(fault.Invalid, "RequestBodyTooLarge", "The request body is larger than %d bytes.", limit)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return body, done, nil
}
