package terminal

import (
	"bytes"
	"sync"
	"testing"
	"time"
)

type person struct{ name, town string }

func columns() []Column[person] {
	return []Column[person]{{"name", func(p person) string { return p.name }}, {"town", func(p person) string { return p.town }}}
}

func TestRowsAlignAndNothingOfStrangersIsObeyed(t *testing.T) {
	var out, diagnostics bytes.Buffer
	w := Terminal{Out: &out, Err: &diagnostics}

	Rows(w, []person{{"Ada", "London"}, {"a\x1b[2Jlonger\rname\u202e", ""}}, columns())

	if want := "NAME                TOWN\nAda                 London\na?[2Jlonger?name?   -\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	out.Reset()
	if Rows(w, nil, columns()); out.Len() != 0 || diagnostics.String() != "nothing found\n" {
		t.Errorf("%q %q", out.String(), diagnostics.String())
	}
}

func TestFieldsLeaveOutWhatIsEmpty(t *testing.T) {
	var out bytes.Buffer

	Fields(Terminal{Out: &out}, person{"", "London\nParis"}, columns())

	if want := "town   London\n       Paris\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

// screen keeps what was written, for another goroutine to look at.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func TestProgressSaysHowFarItIs(t *testing.T) {
	begun := time.Now()
	now, width := begun.Add(10*time.Second), 80
	p := &Progress{now: func() time.Time { return now }, width: func() int { return width }, begun: begun}

	p.Set(25, 100, "3 found")
	if got, want := p.line(), "━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  25 %  25 of 100  30s left  3 found"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	p.Set(0, 0, "waiting\nfor an approval")
	if got, want := p.line(), "10s  waiting?for an approval"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	width = 12
	if got, want := p.line(), "10s  waitin"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestProgressDrawsOverItselfAndTakesItselfAway(t *testing.T) {
	var s screen
	p := &Progress{w: &s, now: time.Now, message: "working"}
	tick := make(chan time.Time)
	p.start(tick, func() int { return 80 })

	tick <- time.Now()
	tick <- time.Now()
	p.Stop()

	if want := "\r0s  working\x1b[K\r0s  working\x1b[K\r\x1b[K"; s.b.String() != want {
		t.Errorf("%q, want %q", s.b.String(), want)
	}
}

func TestProgressIsSilentWhereNobodyWatches(t *testing.T) {
	var s screen
	p := NewProgress(&s, "working")
	p.Set(1, 2, "x")
	p.Stop()
	if s.b.Len() != 0 {
		t.Errorf("%q", s.b.String())
	}
}
