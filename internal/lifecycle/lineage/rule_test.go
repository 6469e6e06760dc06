package lineage

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var day = 24 * time.Hour

func TestDue(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		rule          Rule
		life          time.Duration
		early, latest time.Duration // after from
	}{
		"two thirds of ninety days":     {Rule{}, 90 * day, 59 * day, 60 * day},
		"two thirds of 47 days":         {Rule{}, 47 * day, 30 * day, 32 * day},
		"two thirds of a day":           {Rule{}, day, 15 * time.Hour, 16 * time.Hour},
		"thirty days before":            {Rule{DaysBefore: 30}, 398 * day, 364 * day, 368 * day},
		"half":                          {Rule{Percent: 50}, 100 * day, 50 * day, 50 * day},
		"thirty days before a week":     {Rule{DaysBefore: 30}, 7 * day, 84 * time.Hour, 84 * time.Hour},
		"at a tenth is not before half": {Rule{Percent: 10}, 100 * day, 50 * day, 50 * day},
		"no life":                       {Rule{}, -day, -day, -day},
	} {
		at, why := c.rule.Due("some lineage", from, from.Add(c.life))

		if got := at.Sub(from); got < c.early || got > c.latest || why == "" {
			t.Errorf("%s: due after %s (%s), want %s to %s", name, got, why, c.early, c.latest)
		}
	}
}

// Whatever the rule and the life: never before the middle, always before the end, always
// the same, so that the engine can neither run in circles nor come too late.
func TestDueIsAlwaysInTheSecondHalfOfALife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rule{}
		if rapid.Bool().Draw(t, "days") {
			r.DaysBefore = rapid.IntRange(1, 365).Draw(t, "days before")
		} else if rapid.Bool().Draw(t, "percent") {
			r.Percent = rapid.IntRange(10, 95).Draw(t, "percent of life")
		}
		if err := r.check(); err != nil {
			t.Fatal(err)
		}
		from := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "from"), 0)
		life := time.Duration(rapid.Int64Range(60, 20*365*86400).Draw(t, "life")) * time.Second
		id := rapid.String().Draw(t, "id")

		at, _ := r.Due(id, from, from.Add(life))
		again, _ := r.Due(id, from, from.Add(life))

		if at.Before(from.Add(life/2)) || !at.Before(from.Add(life)) || !at.Equal(again) {
			t.Fatalf("due %s into a life of %s, then %s", at.Sub(from), life, again.Sub(from))
		}
	})
}

func TestRenewalsOfOneDayAreSpread(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	hours := map[int]int{}
	for i := range 2000 {
		at, _ := Rule{}.Due(time.Unix(int64(i), 0).String(), from, from.Add(90*day))
		hours[int(at.Sub(from)/time.Hour)]++
	}

	most := 0
	for _, n := range hours {
		most = max(most, n)
	}
	if mean := 2000 / len(hours); len(hours) < 20 || most > 2*mean {
		t.Errorf("%d in one hour, the mean over %d hours is %d", most, len(hours), mean)
	}
}

func TestAgainComesLaterButInTime(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	last := time.Duration(0)
	for failures := 1; failures < 80; failures++ {
		pause := Again(now, failures, now.Add(90*day)).Sub(now)
		if pause < last || pause > day || pause < time.Hour {
			t.Errorf("after %d failures: %s, before that %s", failures, pause, last)
		}
		last = pause
	}
	for _, left := range []time.Duration{time.Hour, 8 * time.Hour, 2 * day} {
		if pause := Again(now, 20, now.Add(left)).Sub(now); pause > max(left/8, 10*time.Minute) {
			t.Errorf("with %s left: %s", left, pause)
		}
	}
	if pause := Again(now, 3, now.Add(-day)).Sub(now); pause != 4*time.Hour {
		t.Errorf("after its end: %s", pause)
	}
}

func TestRulesThatMakeNoSenseAreRefused(t *testing.T) {
	for _, r := range []Rule{{DaysBefore: -1}, {DaysBefore: 366}, {Percent: 9}, {Percent: 96}, {Percent: -5}, {DaysBefore: 5, Percent: 50}} {
		if r.check() == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
}
