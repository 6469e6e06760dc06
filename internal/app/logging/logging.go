// Package logging writes the program's log: one line an event, and not one system call a
// line.
package logging

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	room  = 64 << 10               // bytes that wait
	delay = 200 * time.Millisecond // that a line waits at most
)

// Log is a logger whose lines wait a moment, so that many are written at once. Warnings and
// errors do not wait. What must outlive a crash is in the audit trail, not here.
type Log struct {
	*slog.Logger
	out  *writer
	stop chan struct{}
	done chan struct{}
}

// New makes a log in slog's text form. Close it, or the last lines are lost.
func New(w io.Writer) *Log {
	out := &writer{out: w, b: bufio.NewWriterSize(w, room)}
	l := &Log{Logger: slog.New(handler{slog.NewTextHandler(out, nil), out}), out: out, stop: make(chan struct{}), done: make(chan struct{})}
	go l.flushNowAndThen()
	return l
}

func (l *Log) flushNowAndThen() {
	defer close(l.done)
	tick := time.NewTicker(delay)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			l.out.flush()
			return
		case <-tick.C:
			l.out.flush()
		}
	}
}

// Close writes what waits. Lines that come later wait until the room is full.
func (l *Log) Close() {
	close(l.stop)
	<-l.done
}

// writer is a buffer that several may use.
type writer struct {
	out io.Writer
	mu  sync.Mutex
	b   *bufio.Writer
}

// Write implements io.Writer.
func (w *writer) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

// flush writes what waits. A terminal or file that cannot be written to is nothing that a
// server should end for, and there is nobody to tell; later lines are tried again.
func (w *writer) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.b.Flush() != nil {
		w.b.Reset(w.out)
	}
}

// handler flushes behind warnings and errors.
type handler struct {
	slog.Handler
	out *writer
}

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.out.flush()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs), h.out}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.out}
}
