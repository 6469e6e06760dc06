package logging

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sink is what was written, and how often.
type sink struct {
	mu     sync.Mutex
	text   bytes.Buffer
	writes int
}

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	return s.text.Write(b)
}

func (s *sink) lines() (lines, writes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), "\n"), s.writes
}

func TestLinesAreWrittenTogetherSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sink
		l := New(&s)
		defer l.Close()
		for range 100 {
			l.With("a", 1).Info("request")
		}
		if lines, _ := s.lines(); lines != 0 {
			t.Errorf("%d lines at once", lines)
		}

		time.Sleep(delay)
		synctest.Wait()

		if lines, writes := s.lines(); lines != 100 || writes != 1 {
			t.Errorf("%d lines in %d writes", lines, writes)
		}
	})
}

func TestWarningsAndWhatPrecedesThemDoNotWait(t *testing.T) {
	var s sink
	l := New(&s)
	defer l.Close()

	l.Info("before")
	l.WithGroup("g").Warn("now")

	if lines, _ := s.lines(); lines != 2 {
		t.Errorf("%d lines, want 2", lines)
	}
}

func TestNothingIsLostAtTheEnd(t *testing.T) {
	var s sink
	l := New(&s)
	l.Info("last")
	l.Close()
	if lines, _ := s.lines(); lines != 1 {
		t.Errorf("%d lines, want 1", lines)
	}
}
