package renewal

import (
	"fmt"
	"time"

	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/lineage"
)

// Tone is how urgent what happens next is.
type Tone string

// The tones.
const (
	Calm  Tone = "calm"  // it happens by itself
	Busy  Tone = "busy"  // it is happening
	Needs Tone = "needs" // a person must do something, in time
	Alarm Tone = "alarm" // something is broken or about to be
)

// Next is what happens next to a lineage, for people.
type Next struct {
	Tone Tone      `json:"tone"`
	Text string    `json:"text"`
	At   time.Time `json:"at,omitzero"` // when, if it happens at a time
}

// Outlook says what happens next. It is pure.
func Outlook(c Case) Next {
	n := outlook(c)
	if end := c.Lineage.Current.NotAfter; !end.IsZero() && !c.Now.Before(end) {
		n.Tone, n.Text = Alarm, "its certificate expired on "+day(end)+"; "+n.Text
	}
	return n
}

func outlook(c Case) Next {
	l := c.Lineage
	switch {
	case c.Latest != nil && c.Latest.State == enrollment.Pending:
		return Next{Tone: Needs, Text: "needs approval since " + day(c.Latest.Created), At: c.Latest.Wake}
	case c.Latest != nil && c.Latest.State.Live():
		return working(*c.Latest)
	case c.Latest != nil && c.Latest.State == enrollment.Failed:
		return broken(c)
	case l.Current.SHA256 == "":
		return Next{Tone: Needs, Text: "has no certificate yet; request one"}
	case l.Paused:
		return Next{Tone: Needs, Text: "does not renew itself; it ends on " + day(l.Current.NotAfter), At: l.Current.NotAfter}
	case l.Due.IsZero():
		return Next{Tone: Needs, Text: "is not scheduled; request its renewal before " + day(l.Current.NotAfter), At: l.Current.NotAfter}
	case !c.Now.Before(l.Due):
		return Next{Tone: Busy, Text: "renews itself now", At: l.Due}
	}
	return planned(l)
}

func planned(l lineage.Lineage) Next {
	n := Next{Tone: Calm, At: l.Due, Text: "renews itself on " + day(l.Due)}
	if due, why := l.Rule.Due(l.ID, l.Current.NotBefore, l.Current.NotAfter); due.Equal(l.Due) {
		n.Text += ", " + why
	}
	switch len(l.Targets) {
	case 0:
		n.Text += "; it has no target, so nobody installs it from vault " + l.Keep.Vault
		n.Tone = Needs
	case 1:
		n.Text += "; it is installed at 1 target"
	default:
		n.Text += fmt.Sprintf("; it is installed at %d targets", len(l.Targets))
	}
	return n
}

func working(r enrollment.Request) Next {
	n := Next{Tone: Busy, Text: "its request is under way: step " + string(r.Step)}
	if r.Problem != "" {
		n.Text += fmt.Sprintf(" waits after %d tries: %s", r.Attempts, r.Problem)
	}
	return n
}

func broken(c Case) Next {
	n := Next{Tone: Alarm, Text: "its last request failed at step " + string(c.Latest.Step) + ": " + c.Latest.Problem}
	if d := c.Lineage.Due; !d.IsZero() {
		n.Text += "; tried again on " + d.UTC().Format("2 January 2006 15:04")
		n.At = d
	} else {
		n.Text += "; try it again when this is mended"
	}
	return n
}

func day(t time.Time) string { return t.UTC().Format("2 January 2006") }
