package rotation_test

import (
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/vault/keys/rotation"
)

func TestDurationsAreThoseOfISO8601(t *testing.T) {
	from := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"P90D":           "2027-05-01T12:00:00Z",
		"P2Y":            "2029-01-31T12:00:00Z",
		"P1Y10D":         "2028-02-10T12:00:00Z",
		"P3M":            "2027-05-01T12:00:00Z", // 31 April is 1 May
		"P2W":            "2027-02-14T12:00:00Z",
		"PT48H":          "2027-02-02T12:00:00Z",
		"p1dt1h2m3s":     "2027-02-01T13:02:03Z",
		"P1Y1M1W1DT1M":   "2028-03-10T12:01:00Z",
		"P0D":            "2027-01-31T12:00:00Z",
		"P9999DT9999S":   "2054-06-17T14:46:39Z",
		"P1YT1S":         "2028-01-31T12:00:01Z",
		"P0001Y":         "2028-01-31T12:00:00Z",
		"P1M":            "2027-03-03T12:00:00Z",
		"PT9999H9999M9S": "2028-03-30T01:39:09Z",
	} {
		d, err := rotation.ParseDuration(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := d.After(from).Format(time.RFC3339); got != want || d.String() != text {
			t.Errorf("%s (%s) after %s is %s, want %s", text, d, from, got, want)
		}
	}
}

func TestWhatIsNoDurationIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "P", "PT", "P1", "1D", "P-1D", "-P1D", "+P1D", "P1.5D", "P1,5D", "P1DT", "PD", "P1H", "PT1D", "P1D1Y", "P1D1D", "P1M1M", "PTT1H",
		"P10000D", "P1D ", " P1D", "P1D\n", "P١D", "PT1H1H", "P1YT1H1M1S1D", strings.Repeat("P1D", 20), "P" + strings.Repeat("0", 40) + "1D",
	} {
		if d, err := rotation.ParseDuration(text); err == nil {
			t.Errorf("%q is read as %+v", text, d)
		}
	}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"P90D", "P1Y2M3W4DT5H6M7S", "PT", "p1d", "P9999Y", "P1M1D", ""} {
		f.Add(s)
	}
	from := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		d, err := rotation.ParseDuration(s)
		if err != nil {
			return
		}
		if d.After(from).Before(from) || d.Before(from).After(from) {
			t.Errorf("%q goes backwards", s)
		}
		text, err := d.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var again rotation.Duration
		if err := again.UnmarshalText(text); err != nil || again != d {
			t.Errorf("%q is %+v, and read again %+v: %v", s, d, again, err)
		}
	})
}
