package console

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// The questions of the first screen, in the query language of the inventory. Each number
// that they give leads to the list that the same words give. What one of our authorities
// has issued is in use only where somebody sees it: the inventory has no place for it until
// then. What is alive is almost the same and is asked for where it is asked for often: it
// needs no look at the places.
const (
	alive    = "not ca and lastseen > -8d"
	inUse    = "state = present"
	ending   = "expires < 31d and (status = expiring or status = expired)" // the first is implied, and bounds what is read
	helpless = ending + " and stage != managed and " + inUse               // somebody must act
	itself   = ending + " and stage = managed and " + inUse                // Chatelaine will
)

const (
	horizon = 90 // days that the histogram shows
	urgent  = 8  // certificates that the first table shows
)

// overview is the first screen: what breaks next.
func (c *Console) overview(v *visit) error {
	all, err := c.Inventory.Estimate(v.ctx(), v.caller, "")
	if err != nil {
		return err
	}
	p := page.Overview{Empty: all == 0, Begin: c.begin(), Sentence: []view.Link{{Text: "Nobody knows yet."}}}
	if all > 0 {
		if p, err = c.outlook.look(v); err != nil {
			return err
		}
		if err := v.stuck(&p); err != nil {
			return err
		}
	}
	if p.Events, err = v.events(); err != nil {
		return err
	}
	s := v.shell("Overview", "/")
	return v.show(http.StatusOK, p.Show(s))
}

// outlook keeps what the first screen counts, for as long as counting it again would be a
// burden: not at all where it is quick. Everybody who may read certificates may read all
// of them, so it is the same for all.
type outlook struct {
	mu   sync.Mutex
	page page.Overview
	at   time.Time
	took time.Duration
}

const (
	quick    = 300 * time.Millisecond // counting that takes no longer is done each time
	burden   = 20                     // what was slower is kept for so many times as long
	stalest  = 5 * time.Minute
	stampAge = 5 * time.Second // numbers that are older say of when they are
)

func (o *outlook) look(v *visit) (page.Overview, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at.IsZero() || o.took <= quick || v.now.Sub(o.at) >= min(burden*o.took, stalest) {
		var p page.Overview
		for _, part := range []func(*page.Overview) error{v.answer, v.histogram, v.facts, v.findings} {
			if err := part(&p); err != nil {
				return p, err
			}
		}
		o.page, o.at, o.took = p, v.now, v.c.Now().Sub(v.now)
	}
	p := o.page
	p.Breaks, p.Sentence = slices.Clone(p.Breaks), slices.Clone(p.Sentence) // the viewer's own parts are added
	if v.now.Sub(o.at) > stampAge {
		p.Sentence = append(p.Sentence, view.Link{Text: " As of " + o.at.UTC().Format("15:04:05") + " UTC."})
	}
	return p, nil
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
	if n == 0 {
		person = view.Link{Text: "No certificate needs a person"}
	}
	auto, m, err := v.counted(itself, func(n int) string { return view.Plural(n, "renews by itself", "renew by themselves") })
	if err != nil {
		return err
	}
	p.Sentence = []view.Link{person, {Text: "."}}
	if m > 0 {
		p.Sentence = append(p.Sentence, view.Link{Text: " "}, auto, view.Link{Text: "."})
	}
	p.Calm = "Whatever is in use and ends soon renews by itself."
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
		if v.c.adopts() && s.Stage != inventory.Managed && !s.CA {
			b.Action = view.Link{Text: "Adopt", Href: certificatePath(s.SHA256) + "/adopt"}
		}
		p.Breaks = append(p.Breaks, b)
	}
	if n > len(p.Breaks) {
		p.More = view.Link{Text: "Show all " + view.Number(n), Href: person.Href}
	}
	return nil
}

// stuck adds the requests that a person must look at: those that failed, as rows, and
// those that wait for an approval.
func (v *visit) stuck(p *page.Overview) error {
	if v.c.Requests == nil {
		return nil
	}
	for _, q := range []struct {
		state     enrollment.State
		one, many string
	}{{enrollment.Failed, "request failed", "requests failed"}, {enrollment.Pending, "request waits for an approval", "requests wait for an approval"}} {
		list, err := v.c.Requests.List(v.ctx(), v.caller, enrollment.Query{State: q.state, Limit: pageSize})
		if fault.Is(err, fault.Denied) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(list) == 0 {
			continue
		}
		text := view.Plural(len(list), q.one, q.many)
		if len(list) == pageSize {
			text = "At least " + text
		}
		p.Sentence = append(p.Sentence, view.Link{Text: " "}, view.Link{Text: text, Href: "/requests?state=" + string(q.state)}, view.Link{Text: "."})
		if q.state == enrollment.Failed {
			for _, r := range list[:min(len(list), urgent)] {
				p.Breaks = append(p.Breaks, v.failed(r))
			}
		}
	}
	slices.SortStableFunc(p.Breaks, func(a, b page.Break) int { return ends(a).Compare(ends(b)) })
	return nil
}

// ends is when a row's certificate ends; one without sorts last.
func ends(b page.Break) time.Time {
	if b.Life.At.IsZero() {
		return time.Unix(1<<40, 0)
	}
	return b.Life.At
}

// failed is the row of a request that failed.
func (v *visit) failed(r enrollment.Request) page.Break {
	b := page.Break{
		Name: view.Link{Text: requestName(r), Href: requestPath(r.ID)}, Where: view.Plural(len(r.Targets), "place", "places"), Owner: view.Clean(r.Wanted.Owner),
		Reason: view.Clean(view.Or(r.Problem, "its request failed")), Action: view.Link{Text: "Show the request", Href: requestPath(r.ID)},
	}
	if r.Lineage != "" {
		if l, err := v.c.Lineages.Get(v.ctx(), v.caller, r.Lineage); err == nil { // else the row says less
			b.Name.Href, b.Life = lineagePath(l.ID), lifeOf(v.now, l.Current.NotBefore, l.Current.NotAfter)
		}
	}
	return b
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
	whole := fmt.Sprintf("expires >= %s and expires < %s and %s", h.Today.Format(time.DateOnly), last.Format(time.DateOnly), alive)
	total, n, err := v.counted(whole, func(n int) string { return view.Plural(n, "certificate", "certificates") })
	if err != nil {
		return err
	}
	h.Total, h.Days = total, make([]view.Expiry, horizon)
	for i := range h.Days {
		if n == 0 {
			break // nothing is left to count
		}
		day := "expires = " + h.Today.AddDate(0, 0, i).Format(time.DateOnly) + " and " + alive
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

// facts are four numbers about the estate that is alive.
func (v *visit) facts(p *page.Overview) error {
	used, err := v.count(alive)
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
	if err := share("Would renew unattended", alive+" and stage = managed", alive+" and stage != managed", "need somebody"); err != nil {
		return err
	}
	if err := share("Seen in the last 24 h", alive+" and lastseen > -24h", alive+" and lastseen <= -24h", "were not looked at since"); err != nil {
		return err
	}
	const long = alive + " and trust = public and lifetime > 100d and status != expired"
	n, err := v.count(long)
	if err != nil {
		return err
	}
	limit := time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC)
	p.Facts = append(p.Facts, page.Fact{
		Name: "Longer than allowed on 15 Mar 2027", Value: view.Number(n), Note: "100-day limit · " + view.Relative(v.now, limit), Href: view.Filtered("/certificates", long),
	})
	return share("Have an owner", alive+` and owner != ""`, alive+` and owner = ""`, "belong to nobody")
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

// rules are the names of the policy's rules, and what a certificate that fails one is.
// A rule that is not here is shown by its name.
func rules() map[string]string {
	return map[string]string{
		"revoked":           "Revoked",
		"expired":           "Expired",
		"not-yet-valid":     "Not valid yet",
		"expiring":          "Expires soon",
		"weak-key":          "Key that is too weak",
		"weak-signature":    "Signed with a broken hash",
		"self-signed":       "Self-signed",
		"unknown-issuer":    "Issued by an authority that nobody registered",
		"missing-san":       "Names no host in the way that clients read",
		"hostname-mismatch": "Served under a name that it does not have",
		"long-validity":     "Valid for longer than allowed",
		"forbidden-usage":   "Has a usage that a public certificate must not have",
		"legacy-protocol":   "Served over an old version of TLS",
		"malformed":         "Not as the standards want it",
	}
}

// ruleTitle is a rule in words.
func ruleTitle(rule string) string {
	if t, ok := rules()[rule]; ok {
		return t
	}
	return view.Clean(rule)
}

// findings counts the certificates that fail each rule, the severest first.
func (v *visit) findings(p *page.Overview) error {
	type counted struct {
		page.Finding
		severity int
		n        int64
	}
	failing, err := v.c.Inventory.Failing(v.ctx(), v.caller)
	if err != nil {
		return err
	}
	var list []counted
	for _, f := range failing {
		count := view.Link{Text: view.Number(int(f.Certificates)), Href: view.Filtered("/certificates", "finding = "+f.Rule)}
		list = append(list, counted{page.Finding{Severity: severityChip(f.Severity), Title: ruleTitle(f.Rule), Count: count}, slices.Index(inventory.Severities(), f.Severity), f.Certificates})
	}
	slices.SortFunc(list, func(a, b counted) int {
		return cmp.Or(a.severity-b.severity, cmp.Compare(b.n, a.n), cmp.Compare(a.Title, b.Title))
	})
	for _, f := range list {
		p.Findings = append(p.Findings, f.Finding)
	}
	return nil
}
