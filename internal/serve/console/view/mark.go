package view

import "time"

// Tone is what a colour means. A word always stands beside it.
type Tone string

// The tones.
const (
	OK   Tone = "ok"
	Warn Tone = "warn"
	Bad  Tone = "bad"
	Info Tone = "info"
	None Tone = "none"
)

// Chip is a word with a tone.
type Chip struct {
	Tone Tone
	Word string
}

// Life is how much of a certificate's time is left.
type Life struct {
	Left int // percent, 0 to 100
	Tone Tone
	Text string    // in 4 days
	Bare string    // 4 days; for a column that says that it counts down
	At   time.Time // the end
}

// The share of a lifetime, in percent, under which its bar changes its tone: renewal is
// due after two thirds, and after nine tenths there is little time for a second try.
const (
	lifeWarn = 34
	lifeBad  = 12
)

// LifeOf measures a validity at the time now.
func LifeOf(now, from, until time.Time) Life {
	l := Life{At: until, Text: Relative(now, until), Bare: Span(until.Sub(now)), Tone: OK}
	if !until.After(now) {
		l.Text, l.Tone = "expired "+Relative(now, until), Bad
		l.Bare = Relative(now, until)
		return l
	}
	l.Left = 100
	if whole := until.Sub(from); now.After(from) && whole > 0 {
		l.Left = int(float64(until.Sub(now)) / float64(whole) * 100)
	}
	switch {
	case l.Left <= lifeBad:
		l.Tone = Bad
	case l.Left <= lifeWarn:
		l.Tone = Warn
	}
	return l
}

// width is the bar's filled part of 64 units; what is left shows.
func (l Life) width() string {
	if l.Left <= 0 {
		return "0"
	}
	return unit(max(2, float64(min(l.Left, 100))*64/100))
}

// class names the bar's colour.
func (l Life) class() string { return map[Tone]string{OK: "o", Warn: "w", Bad: "b"}[l.Tone] }

// Progress is long work that has not ended.
type Progress struct {
	Done, All int
}

// width is the filled part of a meter of 600 units.
func (p Progress) width() string {
	if p.All <= 0 {
		return "0"
	}
	return unit(float64(min(p.Done, p.All)) * 600 / float64(p.All))
}
