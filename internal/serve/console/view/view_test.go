package view

import (
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestForeignTextShowsWhatItHides(t *testing.T) {
	for in, want := range map[string]string{
		"pay.example.com":         "pay.example.com",
		"Zürich 東京":               "Zürich 東京",
		"\u202egnp.exe":           `\u{202e}gnp.exe`,
		"pay\u200b.example":       `pay\u{200b}.example`,
		"two\nlines\tand\x00null": `two\u{a}lines\u{9}and\u{0}null`,
		"no\u00a0break":           `no\u{a0}break`,
		"broken \xff\xfe":         `broken \xff\xfe`,
		"real \ufffd":             "real \ufffd",
		"<script>":                "<script>", // markup is the template's business
		strings.Repeat("a", 300):  strings.Repeat("a", 256) + "…",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestCleanTextIsAlwaysReadableAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := string(rapid.SliceOf(rapid.Byte()).Draw(t, "in"))

		out := Clean(in)

		if !utf8.ValidString(out) || len(out) > 12*maxText {
			t.Fatalf("%q became %q", in, out)
		}
		for _, r := range out {
			if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
				t.Fatalf("%q is still in %q", r, out)
			}
		}
		if Clean(out) != out && !strings.HasSuffix(out, "…") {
			t.Fatalf("cleaning again changes %q", out)
		}
	})
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 48210: "48,210", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := Number(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for _, c := range []struct {
		part, whole int
		want        string
	}{{0, 0, "–"}, {0, 7, "0 %"}, {1, 3, "33.3 %"}, {1203, 1204, "99.9 %"}, {9999, 10000, "99.9 %"}, {5, 5, "100 %"}, {1, 2, "50 %"}} {
		if got := Percent(c.part, c.whole); got != c.want {
			t.Errorf("%d of %d is %q, want %q", c.part, c.whole, got, c.want)
		}
	}
}

func TestTimesAreSeenFromNow(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		0: "just now", -30 * time.Second: "just now", 30 * time.Second: "in a moment", time.Minute: "in 1 minute", -90 * time.Minute: "1 hour ago",
		47 * time.Hour: "in 47 hours", 48 * time.Hour: "in 2 days", -400 * 24 * time.Hour: "400 days ago", 10 * 365 * 24 * time.Hour: "in 10 years",
	} {
		if got := Relative(now, now.Add(d)); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
	if got := Moment(now, now.Add(-time.Hour)); got != "13:05" {
		t.Errorf("an hour ago is %q", got)
	}
	if got := Moment(now, now.AddDate(0, 0, -1)); got != "22 Nov" {
		t.Errorf("yesterday is %q", got)
	}
}

func TestLifeSaysHowMuchIsLeft(t *testing.T) {
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for _, c := range []struct {
		lived, left time.Duration
		tone        Tone
		text        string
		percent     int
	}{
		{8 * day, 82 * day, OK, "in 82 days", 91}, {61 * day, 29 * day, Warn, "in 29 days", 32}, {86 * day, 4 * day, Bad, "in 4 days", 4},
		{90 * day, -3 * day, Bad, "expired 3 days ago", 0}, {-5 * day, 90 * day, OK, "in 90 days", 100}, {0, 0, Bad, "expired just now", 0},
	} {
		l := LifeOf(now, now.Add(-c.lived), now.Add(c.left))

		if l.Tone != c.tone || l.Text != c.text || l.Left != c.percent {
			t.Errorf("%v lived, %v left: %+v", c.lived, c.left, l)
		}
	}
}

func TestConditionsAreWrittenAndTakenOff(t *testing.T) {
	for _, q := range []string{"", "wildcard", "expires < 30d and not revoked", "a = 1 or b = 2", "(a = 1 or b = 2) and c = 3"} {
		with := And(q, "grade = F")
		if !strings.Contains(with, "grade = F") {
			t.Errorf("%q: %q", q, with)
		}
		if back := Without(with, "grade = F"); strings.Trim(back, "()") != strings.Trim(q, "()") && back != "("+q+")" {
			t.Errorf("%q became %q and then %q", q, with, back)
		}
	}
	if got := And("a = 1 or b = 2", "c = 3"); got != "(a = 1 or b = 2) and c = 3" {
		t.Errorf("%q changes what is asked", got)
	}
	if got := And("a = 1\tOR(b = 2)", "c = 3"); got != "(a = 1\tOR(b = 2)) and c = 3" {
		t.Errorf("%q changes what is asked", got)
	}
	if got := Quote(`a"b\c`); got != `"a\"b\\c"` {
		t.Errorf("%s", got)
	}
}

func TestAddressesKeepTheOtherParameters(t *testing.T) {
	q := url.Values{"q": {"wildcard"}, "cursor": {"x"}}

	if got := With("/certificates", q, "cursor", "", "sort", "name"); got != "/certificates?q=wildcard&sort=name" {
		t.Errorf("%s", got)
	}
	if got := With("/certificates", url.Values{"cursor": {"x"}}, "cursor", ""); got != "/certificates" {
		t.Errorf("%s", got)
	}
	if q.Get("cursor") != "x" {
		t.Error("the page's own parameters were changed")
	}
}

func TestHistogramStaysInItsFrame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := Histogram{Today: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
		for range rapid.IntRange(1, 120).Draw(t, "days") {
			h.Days = append(h.Days, Expiry{Unattended: rapid.IntRange(0, 1_000_000).Draw(t, "self"), Attended: rapid.IntRange(0, 1000).Draw(t, "not"), Href: "/x"})
		}

		bars := h.bars()

		if len(bars) != len(h.Days) {
			t.Fatalf("%d bars of %d days", len(bars), len(h.Days))
		}
		for i, b := range bars {
			if strings.HasPrefix(b.SelfY, "-") && b.SelfY < "-2.1" || strings.HasPrefix(b.NotY, "-") {
				t.Errorf("day %d leaves the frame: %+v", i, b)
			}
			if d := h.Days[i]; d.Attended > 0 && b.NotH == "0.0" || d.Unattended > 0 && b.SelfH == "0.0" {
				t.Errorf("day %d does not show %+v", i, d)
			}
		}
	})
}
