// Package view is what every page of the console is made of: the frame around it, its
// marks, and the way numbers, times and foreign text are written.
package view

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Number writes n with a comma between thousands: 48,210.
func Number(n int) string {
	s := strconv.Itoa(n)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Plural writes n and the word that fits it: 1 certificate, 2 certificates.
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Number(n) + " " + many
}

// Percent writes part of whole with one digit, and never rounds up to a whole that is
// not there: 1,203 of 1,204 is 99.9 %. A whole of nothing is a dash.
func Percent(part, whole int) string {
	if whole <= 0 {
		return "–"
	}
	if part == whole {
		return "100 %"
	}
	tenths := part * 1000 / whole
	if tenths%10 == 0 {
		return fmt.Sprintf("%d %%", tenths/10)
	}
	return fmt.Sprintf("%d.%d %%", tenths/10, tenths%10)
}

// Span writes a duration by its largest unit: 4 days, 3 hours, 1 minute.
func Span(d time.Duration) string {
	if d < 0 {
		d = -d
	}
	switch {
	case d < time.Minute:
		return Plural(int(d/time.Second), "second", "seconds")
	case d < time.Hour:
		return Plural(int(d/time.Minute), "minute", "minutes")
	case d < 48*time.Hour:
		return Plural(int(d/time.Hour), "hour", "hours")
	case d < 730*24*time.Hour:
		return Plural(int(d/(24*time.Hour)), "day", "days")
	}
	return Plural(int(d/(365*24*time.Hour)), "year", "years")
}

// Relative writes t as seen from now: in 4 days, 3 hours ago, just now.
func Relative(now, t time.Time) string {
	d := t.Sub(now)
	switch {
	case d > -time.Minute && d <= 0:
		return "just now"
	case d > 0 && d < time.Minute:
		return "in a moment"
	case d > 0:
		return "in " + Span(d)
	}
	return Span(d) + " ago"
}

// Day writes a date: 2 Nov 2026, in UTC.
func Day(t time.Time) string { return t.UTC().Format("2 Jan 2006") }

// Minute writes a date and time: 2 Nov 2026 14:02, in UTC.
func Minute(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04") }

// Moment writes the time of a recent event: the hour of today, else the day.
func Moment(now, t time.Time) string {
	if now.UTC().Format(time.DateOnly) == t.UTC().Format(time.DateOnly) {
		return t.UTC().Format("15:04")
	}
	return t.UTC().Format("2 Jan")
}

// Stamp writes a time for a machine (RFC 3339).
func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// maxText is how much of a foreign string a page shows. X.509 sets no limit.
const maxText = 256

// Clean makes a string from outside safe to read: characters that would reorder,
// hide or break the text around it are written as escapes, and it is cut at 256
// characters. Escaping for HTML is the template's work, not this one's.
func Clean(s string) string {
	var b strings.Builder
	n := 0
	for i, r := range s {
		if n++; n > maxText {
			b.WriteString("…")
			break
		}
		switch {
		case r == utf8.RuneError && isBroken(s[i:]):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r):
			b.WriteRune(r)
		default: // control, format (bidirectional, zero width), separators, private use
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
	}
	return b.String()
}

func isBroken(s string) bool {
	_, size := utf8.DecodeRuneInString(s)
	return size == 1
}

// CleanAll cleans every string of a list, of which it keeps the first max.
func CleanAll(list []string, max int) []string {
	out := make([]string, 0, min(len(list), max))
	for _, s := range list[:min(len(list), max)] {
		out = append(out, Clean(s))
	}
	return out
}

// Or returns s, or the other when s is empty.
func Or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
