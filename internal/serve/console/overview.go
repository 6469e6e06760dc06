package console

import (
	"fmt"
	"net/http"
	"time"

	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// The questions of the first screen, in the query language of the inventory. Each number
// that they give leads to the list that the same words give.
const (
	inUse    = "state = present"
	ending   = "(status = expiring or status = expired)"
	helpless = ending + " and stage != managed and " + inUse // somebody must act
	itself   = ending + " and stage = managed and " + inUse  // Chatelaine will
)

const (
	horizon = 90 // days that the histogram shows
	urgent  = 8  // certificates that the first table shows
)

// overview is the first screen: what breaks next.
func (c *Console) overview(v *visit) error {
	all, err := v.count("")
	if err != nil {
		return err
	}
	p := page.Overview{Empty: all == 0, Begin: c.begin()}
	if all > 0 {
		for _, part := range []func(*page.Overview) error{v.answer, v.histogram, v.facts, v.findings} {
			if err := part(&p); err != nil {
				return err
			}
		}
	} else {
		p.Sentence = []view.Link{{Text: "Nobody knows yet."}}
	}
	if p.Events, err = v.events(); err != nil {
		return err
	}
	s := v.shell("Overview", "/")
	return v.show(http.StatusOK, p.Show(s))
}

func (v *visit) count(filter string) (int, error) {
	n, err := v.c.Inventory.Count(v.ctx(), v.caller, filter)
	return int(n), err
}

// counted is a number, in words, that leads to its list.
func (v *visit) counted(filter string, words func(n int) string) (view.Link, int, error) {
	n, err := v.count(filter)
	return view.Link{Text: words(n), Href: view.Filtered("/certificates", filter)}, n, err
}

// answer is the sentence and the table under it.
func (v *visit) answer(p *page.Overview) error {
	person, n, err := v.counted(helpless, func(n int) string {
		return view.Plural(n, "certificate needs a person", "certificates need a person")
	})
	if err != nil {
		return err
	}
	auto, _, err := v.counted(itself, func(n int) string { return view.Plural(n, "renews by itself", "renew by themselves") })
	if err != nil {
		return err
	}
	p.Sentence = []view.Link{person, {Text: ". "}, auto, {Text: "."}}
	p.Calm = "Every certificate that is in use and ends soon renews by itself."
	list, err := v.c.Inventory.List(v.ctx(), v.caller, inventory.ListOptions{Filter: helpless, Limit: urgent})
	if err != nil {
		return err
	}
	for _, s := range list.Certificates {
		b := page.Break{
			Name: view.Link{Text: nameOf(s.Name, s.Subject, s.SHA256), Href: certificatePath(s.SHA256)},
			Life: lifeOf(v.now, s.NotBefore, s.NotAfter), Owner: view.Clean(s.Owner),
			Where:  view.Plural(s.Installations, "installation", "installations"),
			Reason: reason(v.now, s), Action: view.Link{Text: "Show", Href: certificatePath(s.SHA256)},
		}
		p.Breaks = append(p.Breaks, b)
	}
	if n > len(p.Breaks) {
		p.More = view.Link{Text: "Show all " + view.Number(n), Href: person.Href}
	}
	return nil
}

func reason(now time.Time, s inventory.Summary) string {
	why := "Nobody owns it; first seen " + view.Relative(now, s.FirstSeen)
	if s.Owner != "" {
		why = "It is watched, but no lineage renews it"
	}
	return why
}

// histogram counts what ends on each of the coming days.
func (v *visit) histogram(p *page.Overview) error {
	h := view.Histogram{Today: v.now.UTC().Truncate(24 * time.Hour)}
	last := h.Today.AddDate(0, 0, horizon)
	whole := fmt.Sprintf("expires >= %s and expires < %s and %s", h.Today.Format(time.DateOnly), last.Format(time.DateOnly), inUse)
	total, n, err := v.counted(whole, func(n int) string { return view.Plural(n, "certificate", "certificates") })
	if err != nil {
		return err
	}
	h.Total, h.Days = total, make([]view.Expiry, horizon)
	for i := range h.Days {
		if n == 0 {
			break // nothing is left to count
		}
		day := "expires = " + h.Today.AddDate(0, 0, i).Format(time.DateOnly) + " and " + inUse
		all, err := v.count(day)
		if err != nil {
			return err
		}
		if all == 0 {
			continue
		}
		managed, err := v.count(day + " and stage = managed")
		if err != nil {
			return err
		}
		h.Days[i] = view.Expiry{Unattended: managed, Attended: all - managed, Href: view.Filtered("/certificates", day)}
		n -= all
	}
	p.Histogram = h
	return nil
}

// facts are four numbers about the estate as it is in use.
func (v *visit) facts(p *page.Overview) error {
	used, err := v.count(inUse)
	if err != nil {
		return err
	}
	share := func(name, filter, rest, note string) error {
		n, err := v.count(filter)
		if err != nil {
			return err
		}
		p.Facts = append(p.Facts, page.Fact{
			Name: name, Value: view.Percent(n, used), Note: view.Number(used-n) + " " + note, Href: view.Filtered("/certificates", rest),
		})
		return nil
	}
	if err := share("Would renew unattended", inUse+" and stage = managed", inUse+" and stage != managed", "need somebody"); err != nil {
		return err
	}
	if err := share("Seen in the last 24 h", inUse+" and lastseen > -24h", inUse+" and lastseen <= -24h", "were not looked at since"); err != nil {
		return err
	}
	const long = inUse + " and trust = public and lifetime > 100d and status != expired"
	n, err := v.count(long)
	if err != nil {
		return err
	}
	limit := time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC)
	p.Facts = append(p.Facts, page.Fact{
		Name: "Longer than allowed on 15 Mar 2027", Value: view.Number(n), Note: "100-day limit · " + view.Relative(v.now, limit), Href: view.Filtered("/certificates", long),
	})
	return share("Have an owner", inUse+` and owner != ""`, inUse+` and owner = ""`, "belong to nobody")
}

// begin is how an empty inventory is filled.
func (c *Console) begin() []view.Link {
	var ways []view.Link
	if c.Discovery != nil {
		ways = append(ways, view.Link{Text: "Start a scan", Href: "/discovery#scan"})
	}
	if c.Connections != nil {
		ways = append(ways, view.Link{Text: "Connect a system", Href: "/connections"})
	}
	return ways
}
