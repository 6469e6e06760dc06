package rotation

import (
	"fmt"
	"strings"
	"time"
)

// Duration is an ISO 8601 duration, such as P90D, P1Y10D or PT48H. Years and months
// are those of the calendar. It keeps the text that it was read from, because what was
// sent comes back as sent. The zero value is no duration.
type Duration struct {
	text                       string
	years, months, days, hours int
	minutes, seconds           int
}

// maxDuration bounds the text; the longest sensible one has 20 characters.
const maxDuration = 32

// ParseDuration reads P[nY][nM][nW][nD][T[nH][nM][nS]] with at least one part, each at
// most once and in this order, and at most 9999 of each. There are no signs and no fractions.
func ParseDuration(text string) (Duration, error) {
	wrong := fmt.Errorf("%.40q is not an ISO 8601 duration such as P90D, P1Y10D or PT48H", text)
	rest, ok := strings.CutPrefix(strings.ToUpper(text), "P")
	if !ok || len(text) > maxDuration {
		return Duration{}, wrong
	}
	d := Duration{text: text}
	weeks := 0
	date, clock, timed := strings.Cut(rest, "T")
	parts, ok := parse(date, "YMWD", &d.years, &d.months, &weeks, &d.days)
	if !ok || (timed && clock == "") {
		return Duration{}, wrong
	}
	d.days += 7 * weeks
	times, ok := parse(clock, "HMS", &d.hours, &d.minutes, &d.seconds)
	if !ok || parts+times == 0 {
		return Duration{}, wrong
	}
	return d, nil
}

// parse reads numbers, each with the letter of its unit, into the fields of the units. It
// returns how many there were.
func parse(s, units string, fields ...*int) (n int, ok bool) {
	for s != "" {
		digits := 0
		for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
			digits++
		}
		if digits == 0 || digits > 4 || digits == len(s) {
			return n, false
		}
		unit := strings.IndexByte(units, s[digits])
		if unit < 0 {
			return n, false
		}
		for _, c := range []byte(s[:digits]) {
			*fields[unit] = *fields[unit]*10 + int(c-'0')
		}
		s, units, fields = s[digits+1:], units[unit+1:], fields[unit+1:]
		n++
	}
	return n, true
}

func (d Duration) String() string { return d.text }

// IsZero reports whether there is no duration. One of no length, P0D, is one.
func (d Duration) IsZero() bool { return d.text == "" }

// MarshalText writes what was read.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.text), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*d = Duration{}
		return nil
	}
	*d, err = ParseDuration(string(text))
	return err
}

// After is the moment d after t.
func (d Duration) After(t time.Time) time.Time { return d.shift(t.UTC(), 1) }

// Before is the moment d before t.
func (d Duration) Before(t time.Time) time.Time { return d.shift(t.UTC(), -1) }

func (d Duration) shift(t time.Time, by int) time.Time {
	clock := time.Duration(d.hours)*time.Hour + time.Duration(d.minutes)*time.Minute + time.Duration(d.seconds)*time.Second
	return t.AddDate(by*d.years, by*d.months, by*d.days).Add(time.Duration(by) * clock)
}

// length is d with months of 30 and years of 365 days, to compare durations by.
func (d Duration) length() time.Duration {
	const day = 24 * time.Hour
	days := 365*d.years + 30*d.months + d.days
	return time.Duration(days)*day + time.Duration(d.hours)*time.Hour + time.Duration(d.minutes)*time.Minute + time.Duration(d.seconds)*time.Second
}
