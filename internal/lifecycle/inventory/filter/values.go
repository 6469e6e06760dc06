package filter

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// bounds resolves a value of an ordered field: from low up to but not including high is
// what equals it. A day is 24 hours wide, the letter B ten points.
func (p *parser) bounds(d definition, v token) (low, high int64, err error) {
	switch d.kind {
	case integer:
		n, err := strconv.ParseInt(v.text, 10, 32)
		if err != nil {
			return 0, 0, fail(v, "%s is a whole number, not %s", d.Field, v)
		}
		return n, n + 1, nil
	case score:
		if low, high, ok := Letter(v.text); ok {
			return low, high, nil
		}
		n, err := strconv.ParseInt(v.text, 10, 32)
		if err != nil || n < 0 || n > 100 {
			return 0, 0, fail(v, "%s is 0 to 100 or one of A, B, C, D, F, not %s", d.Field, v)
		}
		return n, n + 1, nil
	case period:
		if n, ok := seconds(v.text); ok && n >= 0 {
			return n, n + 1, nil
		}
		return 0, 0, fail(v, "%s is a duration such as 90d or 12h, not %s", d.Field, v)
	}
	low, high, ok := p.instant(v.text)
	if !ok {
		return 0, 0, fail(v, "%s is a time: 90d (from now), -7d (ago), 2027-03-15, \"2027-03-15T12:00:00Z\" or now, not %s", d.Field, v)
	}
	return low, high, nil
}

func (p *parser) instant(s string) (low, high int64, ok bool) {
	if strings.EqualFold(s, "now") {
		return p.now.UnixMicro(), p.now.UnixMicro() + 1, true
	}
	if n, ok := seconds(s); ok {
		at := p.now.UnixMicro() + n*1e6
		return at, at + 1, true
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.UnixMicro(), t.AddDate(0, 0, 1).UnixMicro(), true
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UnixMicro(), t.UnixMicro() + 1, true
	}
	return 0, 0, false
}

// seconds reads a duration: an optional sign, digits and a unit.
func seconds(s string) (int64, bool) {
	if len(s) < 2 {
		return 0, false
	}
	units := map[byte]int64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 7 * 86400, 'y': 365 * 86400}
	unit, ok := units[s[len(s)-1]|0x20]
	n, err := strconv.ParseInt(s[:len(s)-1], 10, 64)
	const most = math.MaxInt64 / 1_000_000 / 100 // leaves room to be added to now
	if !ok || err != nil || n > most/unit || n < -most/unit {
		return 0, false
	}
	return n * unit, true
}

// Letter is the range of scores that a grade's letter stands for: from low up to but
// not including high.
func Letter(s string) (low, high int64, ok bool) {
	switch strings.ToUpper(s) {
	case "A":
		return 90, 101, true
	case "B":
		return 80, 90, true
	case "C":
		return 65, 80, true
	case "D":
		return 50, 65, true
	case "F":
		return 0, 50, true
	}
	return 0, 0, false
}
