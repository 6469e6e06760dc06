package console

import (
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// How much of a certificate a page shows. X.509 sets no limits; a page has 100 kB.
const (
	maxNames  = 60
	maxPlaces = 100
	maxLines  = 100
	maxPEM    = 8 << 10 // bytes of DER
)

// certificate shows one certificate's story.
func (c *Console) certificate(v *visit) error {
	d, err := c.Inventory.Get(v.ctx(), v.caller, v.r.PathValue("sha256"))
	if err != nil {
		return err
	}
	rooted := d.SelfSigned
	if n := len(d.Issuers); n > 0 {
		last, err := c.Inventory.Get(v.ctx(), v.caller, d.Issuers[n-1].SHA256)
		if err != nil {
			return err
		}
		rooted = last.SelfSigned
	}
	name := nameOf(d.Name, d.Subject, d.SHA256)
	p := page.Certificate{
		Name: name, Lead: "first seen " + view.Day(d.FirstSeen), Status: statusChip(d.Status), Life: lifeOf(v.now, d.NotBefore, d.NotAfter),
		Props: certificateProps(d), Chain: chainOf(d, rooted), Served: servedChain(d), Places: v.places(d.Installations), Timeline: v.timeline(d),
		Findings: findingsOf(d.Findings),
	}
	story, err := c.lineageOf(v, d)
	if err != nil {
		return err
	}
	p.Next, p.Lineage = v.next(d, story), story.props
	p.Timeline = newestFirst(append(p.Timeline, story.moments...))
	if g := gradeOf(d.Annotations); g != "" {
		p.Grade = g + ", " + scoreOf(d.Annotations)
	}
	if len(d.DER) <= maxPEM {
		p.PEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.DER}))
	}
	s := v.shell(name, "/certificates")
	return v.show(http.StatusOK, p.Show(s))
}

// certificatePEM gives the certificate as a file.
func (c *Console) certificatePEM(v *visit) error {
	d, err := c.Inventory.Get(v.ctx(), v.caller, v.r.PathValue("sha256"))
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/x-pem-file")
	v.w.Header().Set("Content-Disposition", `attachment; filename="`+d.SHA256[:16]+`.pem"`)
	return pem.Encode(v.w, &pem.Block{Type: "CERTIFICATE", Bytes: d.DER})
}

// next says what happens to the certificate next.
func (v *visit) next(d inventory.Detail, l lineageStory) page.Next {
	n := page.Next{Tone: view.OK, Actions: []page.Action{{Text: "Download PEM", Href: certificatePath(d.SHA256) + "/pem"}}}
	until := view.Relative(v.now, d.NotAfter)
	present := slices.ContainsFunc(d.Installations, func(i inventory.Installation) bool { return used(i) && i.State == inventory.Present })
	switch {
	case d.Status == inventory.StatusRevoked:
		n.Tone, n.Title, n.Text = view.None, "It was revoked "+view.Relative(v.now, d.RevokedAt)+".", "Reason: "+view.Or(view.Clean(d.RevocationReason), "none given")+"."
		if present {
			n.Tone, n.Text = view.Bad, n.Text+" It is still in use; replace it there."
		}
	case d.Status == inventory.StatusUnknown:
		n.Tone, n.Title, n.Text = view.Warn, "Nobody knows when it expires.", "Its dates are unreadable: "+view.Clean(view.Or(d.ParseError, "see the findings"))+"."
	case l.replaced:
		n.Tone, n.Title, n.Text = view.None, "It was replaced.", "Its lineage has a newer certificate."
		if present {
			n.Tone, n.Text = view.Warn, n.Text+" This one is still in use somewhere."
		}
		n.Actions = slices.Insert(n.Actions, 0, page.Action{Text: "Show its lineage", Href: lineagePath(d.Lineage), Primary: true})
	case d.Stage == inventory.Managed:
		n.Title, n.Text = "It renews itself.", "Its lineage replaces it before it expires, "+until+"."
		if v.c.Lineages != nil {
			n.Actions = slices.Insert(n.Actions, 0, page.Action{Text: "Show its lineage", Href: lineagePath(d.Lineage), Primary: true})
		}
	case d.Status == inventory.StatusExpired && present:
		n.Tone, n.Title, n.Text = view.Bad, "It expired "+until+" and is still in use.", "Whoever connects there is warned or turned away."
	case d.Status == inventory.StatusExpired:
		n.Tone, n.Title, n.Text = view.None, "It expired "+until+".", "It is in use nowhere that we know."
	case d.Status == inventory.StatusExpiring:
		n.Tone, n.Title, n.Text = view.Warn, "It expires "+until+", and nobody renews it.", "Whoever owns it must replace it before then."
	default:
		n.Tone, n.Title, n.Text = view.Info, "Nothing is due.", "It expires "+until+". Nobody renews it by then unless it is adopted."
	}
	if v.c.adopts() && d.Stage != inventory.Managed && !d.CA && !d.NotAfter.IsZero() {
		n.Actions = slices.Insert(n.Actions, 0, page.Action{Text: "Adopt…", Href: certificatePath(d.SHA256) + "/adopt", Primary: true})
	}
	if v.c.Requests != nil && revocable(d) {
		n.Actions = append(n.Actions, page.Action{Text: "Revoke…", Href: certificatePath(d.SHA256) + "/revoke", Danger: true})
	}
	return n
}

func certificateProps(d inventory.Detail) []page.Prop {
	names := make([]string, 0, len(d.Names))
	for _, n := range d.Names[:min(len(d.Names), maxNames)] {
		text := n.Value
		if n.Unicode != "" && n.Unicode != n.Value {
			text += " (" + n.Unicode + ")"
		}
		if n.Kind != inventory.DNS && n.Kind != inventory.IP {
			text = n.Kind + ": " + text
		}
		names = append(names, view.Clean(text))
	}
	if more := len(d.Names) + d.NamesOmitted - len(names); more > 0 {
		names = append(names, "and "+view.Number(more)+" more")
	}
	props := []page.Prop{
		{Name: "Subject", Text: view.Clean(d.Subject)},
		{Name: "Names", List: names},
		{Name: "Issuer", Text: view.Clean(d.Issuer)},
		{Name: "Serial", Text: view.Clean(d.Serial), Mono: true},
		{Name: "Valid", Text: validity(d)},
		{Name: "Key", Text: keyText(d.Key)},
		{Name: "Signature", Text: view.Clean(d.Signature.Algorithm)},
		{Name: "Usage", Text: view.Clean(strings.Join(append(slices.Clone(d.ExtKeyUsage), d.KeyUsage...), ", "))},
		{Name: "Trust", Text: string(d.Trust)},
		{Name: "Owner", Text: view.Clean(d.Owner)},
		{Name: "SHA-256", Text: d.SHA256, Mono: true},
	}
	if d.SPKI != "" {
		props[5].Link = view.Link{Text: keyText(d.Key), Href: view.Filtered("/certificates", "spki = "+d.SPKI)}
	}
	if d.Parser != inventory.Standard {
		props = append(props, page.Prop{Name: "Read by", Text: string(d.Parser) + " parser: " + view.Clean(d.ParseError)})
	}
	if len(d.Defects) > 0 {
		props = append(props, page.Prop{Name: "Defects", List: view.CleanAll(d.Defects, 20)})
	}
	return props
}

func validity(d inventory.Detail) string {
	if d.NotBefore.IsZero() || d.NotAfter.IsZero() {
		return "unreadable"
	}
	return view.Day(d.NotBefore) + " to " + view.Day(d.NotAfter) + " (" + view.Span(d.Lifetime()) + ")"
}

// chainOf draws the certificate and its issuers as far as the inventory knows them;
// rooted says that the last of them is self-signed.
func chainOf(d inventory.Detail, rooted bool) []page.Node {
	role, word := "leaf", "this certificate"
	if d.SelfSigned {
		word = "this certificate, self-signed"
	}
	nodes := []page.Node{{Name: view.Link{Text: nameOf(d.Name, d.Subject, d.SHA256)}, Detail: untilDay(d.NotAfter), Role: role, Word: word}}
	for at, i := range d.Issuers {
		word := "intermediate"
		if rooted && at == len(d.Issuers)-1 {
			word = "root"
		}
		nodes = append(nodes, page.Node{Name: view.Link{Text: nameOf(i.Name, "", i.SHA256), Href: certificatePath(i.SHA256)}, Detail: untilDay(i.NotAfter), Role: word, Word: word})
	}
	if !rooted {
		missing := d.Issuer
		if len(d.Issuers) > 0 {
			missing = "issuer of " + d.Issuers[len(d.Issuers)-1].Name
		}
		nodes = append(nodes, page.Node{Name: view.Link{Text: commonName(missing)}, Detail: "the inventory does not have it", Role: "missing", Word: "unknown"})
	}
	return nodes
}

func untilDay(t time.Time) string {
	if t.IsZero() {
		return "no readable date"
	}
	return "until " + view.Day(t)
}

// servedChain says how the endpoints send the chain.
func servedChain(d inventory.Detail) string {
	served, short := 0, 0
	for _, i := range d.Installations {
		if !i.Current || i.State != inventory.Present || i.TLS == nil {
			continue
		}
		served++
		if len(i.Chain) == 0 && !d.SelfSigned {
			short++
		}
	}
	switch {
	case served == 0:
		return "as the inventory knows it"
	case short == 0:
		return "sent with it everywhere"
	}
	return "sent without issuer by " + view.Number(short) + " of " + view.Plural(served, "endpoint", "endpoints")
}

// places groups the installations: first the network, then each store.
func (v *visit) places(all []inventory.Installation) []page.Places {
	var groups []page.Places
	count, kinds := map[string]int{}, map[string]string{}
	for _, i := range all {
		kind, ok := kinds[i.Source]
		if !ok {
			kind = v.source(i.Source)
			kinds[i.Source] = kind
		}
		at := slices.IndexFunc(groups, func(g page.Places) bool { return g.Kind == kind })
		if at < 0 {
			at = len(groups)
			groups = append(groups, page.Places{Kind: kind})
		}
		if count[kind]++; count[kind] <= maxPlaces {
			groups[at].List = append(groups[at].List, v.place(i))
		}
	}
	for at := range groups {
		groups[at].Count = view.Link{Text: view.Number(count[groups[at].Kind])}
	}
	return groups
}

// ownAuthority begins the sources that are our own authorities: they know what they
// issued, and use none of it.
const ownAuthority = "authority/"

// used reports whether an installation is a place where the certificate may be in use.
func used(i inventory.Installation) bool {
	return i.Current && i.State != inventory.Missing && !strings.HasPrefix(i.Source, ownAuthority)
}

// source names where installations of a kind are.
func (v *visit) source(source string) string {
	if source == inventory.Network {
		return "Served on the network"
	}
	if id, ok := strings.CutPrefix(source, ownAuthority); ok {
		return "Issued by our authority " + view.Clean(id)
	}
	if name, ok := strings.CutPrefix(source, "vault/"); ok {
		return "In our vault " + view.Clean(name)
	}
	return "In " + v.c.connectionName(v, source)
}

func (v *visit) place(i inventory.Installation) page.Place {
	p := page.Place{Where: view.Link{Text: view.Clean(i.Place.String())}, State: stateChip(i.State), Seen: "seen " + view.Relative(v.now, i.LastSeen), At: i.LastSeen}
	var detail []string
	if i.SNI != "" && i.SNI != i.Host {
		detail = append(detail, "as "+i.SNI)
	}
	if i.IP != "" && i.Host != "" {
		detail = append(detail, i.IP)
	}
	if i.TLS != nil {
		versions := i.TLS.Version
		if len(i.TLS.Versions) > 0 {
			versions = strings.Join(i.TLS.Versions, ", ")
		}
		detail = append(detail, versions, i.TLS.Group)
	}
	if i.Object != nil && i.Object.Name != "" {
		detail = append(detail, i.Object.Name)
	}
	if i.State != inventory.Present && i.Problem != "" {
		detail = append(detail, i.Problem)
	}
	p.Detail = view.Clean(strings.Join(slices.DeleteFunc(detail, func(s string) bool { return s == "" }), " · "))
	return p
}

func findingsOf(all []inventory.Finding) []page.Wrong {
	var list []page.Wrong
	for _, f := range all[:min(len(all), maxLines)] {
		w := page.Wrong{Severity: severityChip(f.Severity), Title: ruleTitle(f.Rule), Text: view.Clean(f.Message), Do: view.Clean(f.WhatToDo)}
		if f.Source != "" {
			w.Text += " (" + view.Clean(f.Source) + ")"
		}
		list = append(list, w)
	}
	return list
}

// timeline is everything that is known to have happened, and what will, newest first.
func (v *visit) timeline(d inventory.Detail) []page.Moment {
	var list []page.Moment
	add := func(at time.Time, tone view.Tone, text, detail string) {
		if !at.IsZero() {
			list = append(list, page.Moment{At: at, When: view.Minute(at), Text: text, Detail: detail, Tone: tone, Coming: at.After(v.now)})
		}
	}
	expired := "It expired"
	if d.NotAfter.After(v.now) {
		expired = "It expires"
	}
	add(d.NotAfter, view.Bad, expired, "")
	add(d.NotBefore, view.None, "It became valid", "")
	add(d.RevokedAt, view.Bad, "It was revoked", view.Clean(d.RevocationReason))
	for _, h := range d.History[:min(len(d.History), maxLines)] {
		what := map[inventory.State]string{
			inventory.Present: "Seen at ", inventory.Changed: "Replaced at ", inventory.Missing: "Gone from ", inventory.Unreachable: "Not reachable at ",
		}[h.State]
		tone := map[inventory.State]view.Tone{inventory.Present: view.OK, inventory.Unreachable: view.Warn}[h.State]
		add(h.At, tone, what+view.Clean(h.Place.String()), "")
		if h.Run != "" && v.c.Discovery != nil {
			list[len(list)-1].Link.Href = runPath(h.Run)
		}
	}
	if len(d.History) == 0 {
		add(d.FirstSeen, view.OK, "First seen", "")
	}
	return newestFirst(list)
}

func newestFirst(list []page.Moment) []page.Moment {
	slices.SortStableFunc(list, func(a, b page.Moment) int { return b.At.Compare(a.At) })
	return list
}

// lineageStory is what a certificate's lineage knows of it.
type lineageStory struct {
	replaced bool
	props    []page.Prop
	moments  []page.Moment
}

// lineageOf asks the lineage for its part of the story. A viewer who may not see lineages
// gets a shorter one.
func (c *Console) lineageOf(v *visit, d inventory.Detail) (lineageStory, error) {
	var s lineageStory
	if c.Lineages == nil || d.Lineage == "" {
		return s, nil
	}
	l, err := c.Lineages.Get(v.ctx(), v.caller, d.Lineage)
	if fault.Is(err, fault.Denied) || fault.Is(err, fault.NotFound) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.replaced = l.Current.SHA256 != "" && l.Current.SHA256 != d.SHA256
	s.props = []page.Prop{
		{Name: "Name", Link: view.Link{Text: view.Clean(l.Name), Href: lineagePath(l.ID)}}, {Name: "Owner", Text: view.Clean(l.Owner)}, {Name: "Profile", Text: view.Clean(l.Profile)},
	}
	if s.replaced {
		s.props = append(s.props, page.Prop{Name: "Replaced by", Link: view.Link{Text: l.Current.SHA256[:min(16, len(l.Current.SHA256))], Href: certificatePath(l.Current.SHA256)}})
	}
	members, err := c.Lineages.Members(v.ctx(), v.caller, l.ID)
	if err != nil {
		return s, err
	}
	deployments, err := c.Deployments.List(v.ctx(), v.caller, deployment.Query{Lineage: l.ID, Limit: maxLines})
	if err != nil && !fault.Is(err, fault.Denied) {
		return s, err
	}
	add := func(at time.Time, tone view.Tone, text, href string) {
		if !at.IsZero() {
			s.moments = append(s.moments, page.Moment{At: at, When: view.Minute(at), Text: text, Tone: tone, Link: view.Link{Href: href}})
		}
	}
	for _, m := range members {
		if m.SHA256 != d.SHA256 {
			continue
		}
		text, href := "Adopted into the lineage "+view.Clean(l.Name), lineagePath(l.ID)
		if m.Request != "" {
			text, href = "Made by a request, and the current one of "+view.Clean(l.Name)+" from then on", requestPath(m.Request)
		}
		add(m.Since, view.OK, text, href)
		add(m.Replaced, view.None, "Its lineage replaced it", lineagePath(l.ID))
	}
	for _, x := range deployments {
		if x.SHA256 == d.SHA256 {
			chip := deploymentChip(x)
			add(x.Updated, chip.Tone, placeText(x.Target.Place)+": "+chip.Word, lineagePath(l.ID))
		}
	}
	return s, nil
}
