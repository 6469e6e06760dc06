package renewal

import (
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/lineage"
)

var (
	noon   = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	oneDay = 24 * time.Hour
)

// due is a lineage whose ninety days are nearly over.
func due() lineage.Lineage {
	return lineage.Lineage{
		ID:      "l",
		Wanted:  lineage.Wanted{Profile: "tls-server", Keep: lineage.Keep{Vault: "default"}},
		Targets: []lineage.Target{{ID: "t"}},
		Current: lineage.Certificate{SHA256: "aa", NotBefore: noon.Add(-80 * oneDay), NotAfter: noon.Add(10 * oneDay)},
		Due:     noon.Add(-time.Hour),
	}
}

func request(state enrollment.State, change ...func(*enrollment.Request)) *enrollment.Request {
	r := &enrollment.Request{ID: "r", State: state, Step: enrollment.Issue, Wanted: due().Wanted, Created: noon.Add(-oneDay), Problem: "no answer"}
	for _, f := range change {
		f(r)
	}
	return r
}

func issued(r *enrollment.Request) {
	r.Step = enrollment.Deploy
	r.Result = lineage.Certificate{SHA256: "bb", NotBefore: noon.Add(-oneDay), NotAfter: noon.Add(89 * oneDay)}
}

func TestDecide(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Case)
		want   Doing
	}{
		"due":                               {func(*Case) {}, Create},
		"not due":                           {func(c *Case) { c.Lineage.Due = noon.Add(time.Second) }, Wait},
		"never due":                         {func(c *Case) { c.Lineage.Due = time.Time{} }, Wait},
		"paused":                            {func(c *Case) { c.Lineage.Paused = true }, Wait},
		"no certificate":                    {func(c *Case) { c.Lineage.Current = lineage.Certificate{} }, Wait},
		"pending":                           {func(c *Case) { c.Latest = request(enrollment.Pending) }, Wait},
		"under way":                         {func(c *Case) { c.Latest = request(enrollment.InProgress) }, Wait},
		"completed before":                  {func(c *Case) { c.Latest = request(enrollment.Completed, issued) }, Create},
		"denied before":                     {func(c *Case) { c.Latest = request(enrollment.Denied) }, Create},
		"failed before it was issued":       {func(c *Case) { c.Latest = request(enrollment.Failed) }, Retry},
		"failed, and the wish has changed":  {func(c *Case) { c.Latest = request(enrollment.Failed); c.Lineage.Names.DNS = []string{"b"} }, Create},
		"failed, and the owner has changed": {func(c *Case) { c.Latest = request(enrollment.Failed); c.Lineage.Owner = "b" }, Retry},
		"issued, not installed":             {func(c *Case) { c.Latest = request(enrollment.Failed, issued) }, Retry},
		"issued, not installed, other wish": {func(c *Case) { c.Latest = request(enrollment.Failed, issued); c.Lineage.Key = "P-384" }, Create},
		"issued so long ago that it is due": {func(c *Case) {
			c.Latest = request(enrollment.Failed, issued)
			c.Latest.Result.NotBefore, c.Latest.Result.NotAfter = noon.Add(-80*oneDay), noon.Add(10*oneDay)
		}, Create},
	} {
		x := Case{Lineage: due(), Now: noon}
		c.change(&x)

		if got := Decide(x); got.Do != c.want || got.Why == "" {
			t.Errorf("%s: got %+v, want %s", name, got, c.want)
		}
	}
}

func TestOutlook(t *testing.T) {
	planned := func(c *Case) {
		c.Lineage.Current = lineage.Certificate{SHA256: "aa", NotBefore: noon, NotAfter: noon.Add(90 * oneDay)}
		c.Lineage.Due, _ = c.Lineage.Rule.Due("l", noon, noon.Add(90*oneDay))
	}
	for name, c := range map[string]struct {
		change func(*Case)
		tone   Tone
		want   string
	}{
		"planned":        {planned, Calm, "renews itself on 3"},
		"why":            {planned, Calm, "two thirds of its life"},
		"no target":      {func(c *Case) { planned(c); c.Lineage.Targets = nil }, Needs, "it has no target, so nobody installs it from vault default"},
		"due":            {func(*Case) {}, Busy, "renews itself now"},
		"pending":        {func(c *Case) { c.Latest = request(enrollment.Pending) }, Needs, "needs approval since 31 August 2026"},
		"under way":      {func(c *Case) { c.Latest = request(enrollment.InProgress) }, Busy, "step issue waits after 0 tries: no answer"},
		"failed":         {func(c *Case) { c.Latest = request(enrollment.Failed) }, Alarm, "failed at step issue: no answer; tried again on 1 September 2026 11:00"},
		"failed, paused": {func(c *Case) { c.Latest = request(enrollment.Failed); c.Lineage.Due = time.Time{} }, Alarm, "try it again when this is mended"},
		"paused":         {func(c *Case) { c.Lineage.Paused = true }, Needs, "does not renew itself; it ends on 11 September 2026"},
		"no certificate": {func(c *Case) { c.Lineage.Current = lineage.Certificate{} }, Needs, "has no certificate yet; request one"},
		"not scheduled":  {func(c *Case) { c.Lineage.Due = time.Time{} }, Needs, "request its renewal before 11 September 2026"},
		"expired":        {func(c *Case) { c.Lineage.Current.NotAfter = noon; c.Latest = request(enrollment.Pending) }, Alarm, "expired on 1 September 2026; needs approval"},
	} {
		x := Case{Lineage: due(), Now: noon}
		c.change(&x)

		if got := Outlook(x); got.Tone != c.tone || !strings.Contains(got.Text, c.want) {
			t.Errorf("%s: got %s %q, want %s %q", name, got.Tone, got.Text, c.tone, c.want)
		}
	}
}
