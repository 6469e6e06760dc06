package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"chatelaine.dev/internal/access"
)

type eventKey struct{}

// Event is the one line that a request leaves in the log. Handlers add to it what they
// learn. It is safe for concurrent use.
type Event struct {
	id string

	mu     sync.Mutex
	caller access.Caller
	attrs  []slog.Attr
	err    error
}

// EventOf returns the request's event; outside of Wrap one that nobody writes.
func EventOf(ctx context.Context) *Event {
	if e, ok := ctx.Value(eventKey{}).(*Event); ok {
		return e
	}
	return &Event{}
}

// Add puts attributes on the event.
func (e *Event) Add(attrs ...slog.Attr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.attrs = append(e.attrs, attrs...)
}

// Caller puts on the event who asks.
func (e *Event) Caller(c access.Caller) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.caller = c
}

// Fail puts the error on the event, whole: the log is where its cause belongs. The first
// one stays.
func (e *Event) Fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = err
	}
}

const maxLogged = 512 // bytes of a path or agent

// emit writes the event. The query is left out: links and cursors may be in it.
func (e *Event) emit(o Options, r *http.Request, a *answer, begun time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	level := slog.LevelInfo
	if a.status >= http.StatusInternalServerError && !errors.Is(e.err, context.Canceled) {
		level = slog.LevelError
	}
	if !o.Log.Enabled(r.Context(), level) {
		return
	}
	var room [20]slog.Attr
	attrs := append(room[:0],
		slog.String("id", e.id), slog.String("method", cut(r.Method)), slog.String("host", cut(r.Host)), slog.String("path", cut(r.URL.Path)),
		slog.Int("status", a.status), slog.Int64("bytes", a.bytes), slog.Duration("took", o.Now().Sub(begun)),
		slog.String("address", Address(r)), slog.String("agent", cut(r.UserAgent())),
	)
	if e.caller.Principal != "" {
		attrs = append(attrs, slog.String("principal", e.caller.Principal), slog.String("application", e.caller.Application))
	}
	attrs = append(attrs, e.attrs...)
	if id := r.Header.Get("X-Ms-Client-Request-Id"); id != "" {
		attrs = append(attrs, slog.String("client_id", cut(id)))
	}
	if e.err != nil {
		attrs = append(attrs, slog.Any("error", e.err))
	}
	line := slog.NewRecord(o.Now(), level, "request", 0) // nobody asks where in the program a request was logged
	line.AddAttrs(attrs...)
	_ = o.Log.Handler().Handle(r.Context(), line) // as slog does: a log that cannot be written stops no server
}

func cut(s string) string { return s[:min(len(s), maxLogged)] }
