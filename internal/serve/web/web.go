// Package web is what the front doors share: one log event per request, request ids,
// limits, authentication, and errors turned into responses.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
	"uuid"

	"chatelaine.dev/internal/access"
)

// Options of Wrap.
type Options struct {
	Log *slog.Logger
	Now func() time.Time
	// MaxBody bounds every request's body, in bytes. Front doors have narrower limits.
	MaxBody int64
}

// Wrap puts around all front doors what each request has: an id, a limit of its body, an
// answer after a panic, and one event in the log.
func Wrap(next http.Handler, o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{Event: Event{id: uuid.NewV4().String()}, answer: answer{ResponseWriter: w}}
		begun := o.Now()
		r = r.WithContext(context.WithValue(r.Context(), eventKey{}, &x.Event))
		if r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(w, r.Body, o.MaxBody)
		}
		e, a := &x.Event, &x.answer
		defer func() {
			p := recover()
			abort := p == any(http.ErrAbortHandler)
			if p != nil && !abort {
				e.Fail(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
				if abort = a.status != 0; !abort {
					protect(a.Header())
					Problem(a, r, errPanic)
				}
			}
			e.emit(o, r, a, begun)
			if abort { // half an answer is cut off, so that it is not taken for a whole one
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(a, r)
	})
}

// errPanic is what a caller is told; the log has the rest.
var errPanic = errors.New("panic")

// exchange is what Wrap keeps of a request and its answer, in one piece.
type exchange struct {
	Event  Event
	answer answer
}

// Protect puts around a front door the headers of every answer that a browser may see,
// unless the door says otherwise, and the request's id.
func Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w.Header())
		w.Header().Set("X-Request-Id", RequestID(r.Context()))
		next.ServeHTTP(w, r)
	})
}

func protect(h http.Header) {
	h.Set("Strict-Transport-Security", "max-age=31536000")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// answer remembers what was answered.
type answer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the real writer.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// RequestID is the id of the request in the log, the response and the audit trail. We make
// it, so that no client chooses what stands in the trail.
func RequestID(ctx context.Context) string { return EventOf(ctx).id }

// Origin is where a request comes from.
func Origin(r *http.Request) access.Origin {
	return access.Origin{Address: Address(r), Agent: r.UserAgent(), Correlation: RequestID(r.Context())}
}

// Address is the client's IP address, without port.
func Address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Base is the address of the product as the client reached it: https, the domain that we
// are, and the port that the client used, which need not be the one that we listen at.
func Base(r *http.Request, domain string) string {
	if _, port, err := net.SplitHostPort(r.Host); err == nil && port != "" && port != "443" && !strings.ContainsFunc(port, notDigit) {
		return "https://" + net.JoinHostPort(domain, port)
	}
	return "https://" + domain
}

func notDigit(c rune) bool { return c < '0' || c > '9' }
