package terminal

import (
	"fmt"
	"strings"
	"time"
)

// Moment writes a time to the minute, in UTC; nothing for the zero time.
func Moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// Day writes a date, and how far it is from now: "2027-03-15 (in 90d)".
func Day(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02") + " (" + Distance(now, t) + ")"
}

// Distance is how far a time is from now, in its largest unit: "in 90d", "3h ago".
func Distance(now, t time.Time) string {
	d := t.Sub(now)
	if d < 0 {
		return Span(-d) + " ago"
	}
	return "in " + Span(d)
}

// Span is a duration in its largest unit: "90d", "3h".
func Span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// Short is the beginning of a fingerprint, long enough to name it to another verb.
func Short(sha256 string) string { return sha256[:min(len(sha256), 16)] }

// Plural counts: "1 certificate", "3 certificates".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if before, ok := strings.CutSuffix(noun, "y"); ok && !strings.HasSuffix(before, "a") {
		noun = before + "ie"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
