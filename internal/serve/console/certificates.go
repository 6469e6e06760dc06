package console

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/inventory/filter"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// certificates shows the inventory under the filter in the address.
func (c *Console) certificates(v *visit) error {
	o := inventory.ListOptions{Filter: v.query("q"), Sort: v.query("sort"), Cursor: v.query("cursor"), Limit: pageSize}
	p := page.Certificates{Filter: certificateFilter(o.Filter)}
	status := http.StatusOK
	switch err := v.listCertificates(&p, o); {
	case errors.As(err, new(*filter.Error)):
		p.Filter.Wrong = wrongFilter(o.Filter, err)
		p.Lead, status = "the filter cannot be read", http.StatusUnprocessableEntity
	case err != nil:
		return err
	}
	s := v.shell("Certificates", "/certificates")
	return v.show(status, p.Show(s))
}

// pageSize is the number of rows of a list. Fifty long names stay under 100 kB.
const pageSize = 50

func (v *visit) listCertificates(p *page.Certificates, o inventory.ListOptions) error {
	list, err := v.c.Inventory.List(v.ctx(), v.caller, o)
	if err != nil {
		return err
	}
	matching, err := v.c.Inventory.Count(v.ctx(), v.caller, o.Filter)
	if err != nil {
		return err
	}
	all := matching
	if o.Filter != "" {
		if all, err = v.c.Inventory.Count(v.ctx(), v.caller, ""); err != nil {
			return err
		}
	}
	p.Lead = view.Number(int(matching)) + " of " + view.Number(int(all))
	for _, s := range list.Certificates {
		p.Rows = append(p.Rows, v.certificateRow(s))
	}
	p.Sort = sortLinks(v.r.URL.Query(), o.Sort)
	p.Pager = v.pager("cursor", o.Cursor, list.Next, len(list.Certificates), int(matching))
	p.Empty = view.Nothing{Title: "No certificate matches.", Text: "Loosen the filter, or remove it to see all.", Actions: []view.Link{{Text: "Show all", Href: "/certificates"}}}
	if all == 0 {
		p.Empty = view.Nothing{Title: "The inventory is empty.", Text: "Certificates come in by a scan, from a connection, or when they are issued here.", Actions: v.c.begin()}
	}
	return nil
}

func (v *visit) certificateRow(s inventory.Summary) page.CertificateRow {
	return page.CertificateRow{
		Name:       view.Link{Text: nameOf(s.Name, s.Subject, s.SHA256), Href: certificatePath(s.SHA256)},
		Status:     statusChip(s.Status),
		Life:       lifeOf(v.now, s.NotBefore, s.NotAfter),
		Grade:      gradeOf(s.Annotations),
		Score:      scoreOf(s.Annotations),
		Issuer:     commonName(s.Issuer),
		Key:        keyText(s.Key),
		Owner:      view.Clean(s.Owner),
		Installed:  view.Link{Text: view.Number(s.Installations), Href: certificatePath(s.SHA256) + "#where"},
		Automation: automation(s.Stage),
		Seen:       view.Relative(v.now, s.LastSeen),
		SeenAt:     s.LastSeen,
	}
}

// pager leads to the first and the next page of a list whose place is a query parameter.
func (v *visit) pager(parameter, here, next string, shown, matching int) view.Pager {
	q := v.r.URL.Query()
	p := view.Pager{Shown: view.Number(shown) + " shown, " + view.Number(matching) + " in all"}
	if here != "" {
		p.First = view.With(v.r.URL.Path, q, parameter, "", "did", "")
	}
	if next != "" {
		p.Next = view.With(v.r.URL.Path, q, parameter, next, "did", "")
	}
	return p
}

// sortLinks turn the headers of sortable columns into links; a second click turns the order.
func sortLinks(q url.Values, now string) map[string]page.Order {
	links := map[string]page.Order{}
	for _, f := range inventory.Sortable() {
		field := string(f)
		o := page.Order{Href: view.With("/certificates", q, "sort", field, "cursor", "")}
		switch now {
		case field:
			o.Is, o.Href = "ascending", view.With("/certificates", q, "sort", "-"+field, "cursor", "")
		case "-" + field:
			o.Is = "descending"
		case "":
			if f == filter.Expires {
				o.Is, o.Href = "ascending", view.With("/certificates", q, "sort", "-"+field, "cursor", "")
			}
		}
		links[field] = o
	}
	return links
}

// certificateFilter is the box with its pills. A pill writes a condition of the query
// language; what it wrote it can take off again.
func certificateFilter(q string) page.Filter {
	f := page.Filter{Path: "/certificates", Value: q, Hint: `expires < 30d and not owner = "Lab"`}
	for _, p := range []struct {
		name, field string
		values      []string
	}{
		{"Status", "status", []string{"valid", "expiring", "expired", "revoked", "pending"}},
		{"Grade", "grade", []string{"A", "B", "C", "D", "F"}},
		{"Trust", "trust", []string{"public", "private", "self-signed", "unknown"}},
		{"Stage", "stage", []string{"discovered", "monitored", "managed"}},
	} {
		f.Pills = append(f.Pills, pill(q, p.name, p.field, p.values))
	}
	for _, h := range filter.Fields() {
		f.Words = append(f.Words, page.Word{Field: string(h.Field), Meaning: h.Help, Example: example(h)})
	}
	return f
}

func pill(q, name, field string, values []string) page.Pill {
	p := page.Pill{Name: name}
	for _, value := range values {
		condition := field + " = " + value
		if strings.Contains(q, condition) && view.Without(q, condition) != q {
			p.Value, p.Remove = value, view.Filtered("/certificates", view.Without(q, condition))
			return p
		}
		p.Choices = append(p.Choices, view.Link{Text: value, Href: view.Filtered("/certificates", view.And(q, condition))})
	}
	return p
}

// example is a condition that shows how a field is written.
func example(h filter.Help) string {
	if len(h.Options) > 0 {
		return string(h.Field) + " = " + h.Options[0]
	}
	written := map[filter.Field]string{
		filter.Expires: "expires < 30d", filter.Issued: "issued > -7d", filter.Lifetime: "lifetime > 200d", filter.Grade: "grade < B",
		filter.KeySize: "keysize < 2048", filter.FirstSeen: "firstseen > -1d", filter.LastSeen: "lastseen < -7d", filter.Port: "port = 443",
		filter.Revoked: "revoked", filter.SelfSigned: "selfsigned", filter.Wildcard: "wildcard", filter.CA: "ca",
		filter.Serial: "serial = 0a1b2c", filter.SHA256: "sha256 ~ 0a1b2c", filter.SPKI: "spki ~ 0a1b2c", filter.Owner: `owner = ""`,
		filter.Key: "key = RSA", filter.Curve: "curve = P-256", filter.KeyUsage: "usage = clientAuth", filter.Finding: "finding = weak-key",
		filter.Source: "source = network",
	}
	if e, ok := written[h.Field]; ok {
		return e
	}
	return string(h.Field) + ` ~ "example"`
}

// wrongFilter points at the column where the filter cannot be read.
func wrongFilter(q string, err error) *page.WrongFilter {
	var e *filter.Error
	if !errors.As(err, &e) {
		return &page.WrongFilter{Message: view.Clean(err.Error())}
	}
	w := &page.WrongFilter{Message: "Column " + view.Number(e.Column) + ": " + view.Clean(e.Message) + "."}
	if !strings.ContainsFunc(q, func(r rune) bool { return r < ' ' }) {
		w.Pointer = q + "\n" + strings.Repeat(" ", max(0, e.Column-1)) + "^"
	}
	return w
}

// search leads from words to the list that they find, or to the certificate itself.
func (c *Console) search(v *visit) error {
	words := strings.TrimSpace(v.query("words"))
	if words == "" {
		return v.goTo("/certificates")
	}
	digits := strings.ToLower(strings.ReplaceAll(words, ":", ""))
	hex := digits != "" && strings.Trim(digits, "0123456789abcdef") == ""
	if hex && len(digits) == 64 {
		return v.goTo(certificatePath(digits))
	}
	q := view.Quote(words)
	conditions := []string{"name ~ " + q, "san ~ " + q, "host ~ " + q, "ip = " + q}
	if hex {
		conditions = append(conditions, "serial ~ "+digits, "sha256 ~ "+digits)
	}
	return v.goTo(view.Filtered("/certificates", strings.Join(conditions, " or ")))
}

func certificatePath(sha256 string) string { return "/certificates/" + url.PathEscape(sha256) }

// nameOf is what a certificate is called; there may be no name in it at all.
func nameOf(name, subject, sha256 string) string {
	return view.Clean(view.Or(name, view.Or(subject, "unnamed "+sha256[:min(12, len(sha256))])))
}

func statusChip(s inventory.Status) view.Chip {
	tones := map[inventory.Status]view.Tone{
		inventory.StatusValid: view.OK, inventory.StatusExpiring: view.Warn, inventory.StatusExpired: view.Bad,
		inventory.StatusRevoked: view.Bad, inventory.StatusPending: view.Info, inventory.StatusUnknown: view.None,
	}
	return view.Chip{Tone: tones[s], Word: string(s)}
}

func severityChip(s inventory.Severity) view.Chip {
	tones := map[inventory.Severity]view.Tone{
		inventory.Critical: view.Bad, inventory.High: view.Warn, inventory.Medium: view.Info, inventory.Low: view.None, inventory.Info: view.None,
	}
	return view.Chip{Tone: tones[s], Word: string(s)}
}

func stateChip(s inventory.State) view.Chip {
	tones := map[inventory.State]view.Tone{
		inventory.Present: view.OK, inventory.Changed: view.None, inventory.Missing: view.None, inventory.Unreachable: view.Warn,
	}
	word := map[inventory.State]string{inventory.Changed: "replaced"}[s]
	return view.Chip{Tone: tones[s], Word: view.Or(word, string(s))}
}

// lifeOf is the bar of a validity whose dates may be unreadable.
func lifeOf(now, from, until time.Time) view.Life {
	if until.IsZero() {
		return view.Life{}
	}
	return view.LifeOf(now, from, until)
}

func gradeOf(a inventory.Annotations) string {
	if a.Judged.IsZero() {
		return ""
	}
	return a.Grade
}

func scoreOf(a inventory.Annotations) string {
	if a.Judged.IsZero() {
		return "not judged yet"
	}
	return view.Number(a.Score) + " of 100"
}

func automation(s inventory.Stage) string {
	return map[inventory.Stage]string{inventory.Managed: "renews itself", inventory.Monitored: "watched only"}[s]
}

func keyText(k inventory.Key) string {
	switch {
	case k.Parameters != "":
		return view.Clean(k.Parameters)
	case k.Algorithm == "RSA" || k.Algorithm == "DSA":
		return k.Algorithm + " " + strconv.Itoa(k.Size)
	}
	return view.Or(view.Clean(k.Algorithm), "unknown")
}

// commonName is the CN of a name that RFC 4514 wrote, or its first part.
func commonName(dn string) string {
	parts := splitDN(dn)
	i := slices.IndexFunc(parts, func(p string) bool { return strings.HasPrefix(p, "CN=") })
	if i < 0 {
		return view.Clean(dn)
	}
	return view.Clean(strings.ReplaceAll(strings.TrimPrefix(parts[i], "CN="), `\`, ""))
}

// splitDN cuts a name at the commas and pluses that no backslash keeps.
func splitDN(dn string) []string {
	var parts []string
	start := 0
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',', '+':
			parts = append(parts, strings.TrimSpace(dn[start:i]))
			start = i + 1
		}
	}
	return append(parts, strings.TrimSpace(dn[start:]))
}

// Authorities lists our CAs; *authority.Service is one.
type Authorities interface {
	List(ctx context.Context, c access.Caller, after string, limit int) ([]authority.Authority, error)
	Crosses(ctx context.Context, c access.Caller, id string) ([]authority.Cross, error)
}

// maxAuthorities is how many the picture has room for.
const maxAuthorities = 100

// authorityPages adds the page of the authorities.
func (c *Console) authorityPages(g *view.Group) {
	if c.Authorities == nil {
		return
	}
	c.page("GET /authorities", c.authorities)
	g.Entries = append(g.Entries, view.Entry{Name: "Authorities", Href: "/authorities"})
}

// authorities draws who certified whom.
func (c *Console) authorities(v *visit) error {
	list, err := c.Authorities.List(v.ctx(), v.caller, "", maxAuthorities+1)
	if err != nil {
		return err
	}
	p := page.Authorities{Lead: view.Plural(min(len(list), maxAuthorities), "authority", "authorities"), Tree: view.Tree{Label: "Who certified whom"}}
	if len(list) > maxAuthorities {
		list = list[:maxAuthorities]
		p.More = "Only the first " + strconv.Itoa(maxAuthorities) + " are shown; \"chatelaine authority list\" shows all."
	}
	list = topDown(list)
	index := map[string]int{"": -1}
	for i, a := range list {
		index[a.ID] = i
	}
	for _, a := range list {
		crosses, err := c.Authorities.Crosses(v.ctx(), v.caller, a.ID)
		if err != nil {
			return err
		}
		row := page.AuthorityRow{ID: a.ID, Subject: view.Clean(a.Subject), Above: view.Or(a.Parent, "itself"), State: authorityState(v, a), Life: lifeOf(v.now, a.NotBefore, a.NotAfter)}
		node := view.TreeNode{Name: a.ID, Href: "#authority-" + a.ID, Tone: row.State.Tone, Parent: -1}
		if above, ok := index[a.Parent]; ok {
			node.Parent = above
		}
		if a.State == authority.Pending {
			row.Above, row.Life = "nobody yet", view.Life{}
		}
		if own, err := x509.ParseCertificate(a.Certificate); err == nil {
			row.Key, row.Limits = view.Or(profile.KeyName(own.PublicKey), own.PublicKeyAlgorithm.String()), limitsOf(own)
			if len(a.Above) > 0 {
				row.Above = view.Clean(own.Issuer.String())
			}
		}
		node.Detail = strings.TrimPrefix(row.Key+", "+row.State.Word, ", ")
		var also []string
		for _, x := range crosses {
			if x.Revoked || v.now.After(x.NotAfter) {
				continue
			}
			if by, ok := index[x.Issuer]; ok && by >= 0 {
				node.Also = append(node.Also, by)
			}
			also = append(also, view.Or(x.Issuer, "somebody else"))
		}
		row.Also = strings.Join(also, ", ")
		p.Rows, p.Tree.Nodes = append(p.Rows, row), append(p.Tree.Nodes, node)
	}
	return v.show(http.StatusOK, p.Show(v.shell("Authorities", "/authorities")))
}

// topDown puts every authority behind the one that signed it.
func topDown(list []authority.Authority) []authority.Authority {
	below := map[string][]authority.Authority{}
	there := map[string]bool{}
	for _, a := range list {
		there[a.ID] = true
	}
	for _, a := range list {
		parent := a.Parent
		if !there[parent] {
			parent = ""
		}
		below[parent] = append(below[parent], a)
	}
	out := make([]authority.Authority, 0, len(list))
	var walk func(id string)
	walk = func(id string) {
		for _, a := range below[id] {
			out = append(out, a)
			walk(a.ID)
		}
	}
	walk("")
	return out
}

func authorityState(v *visit, a authority.Authority) view.Chip {
	switch a.State {
	case authority.Active:
		if v.now.After(a.NotAfter) {
			return view.Chip{Tone: view.Bad, Word: "expired"}
		}
		return view.Chip{Tone: view.OK, Word: "issues"}
	case authority.Revoked:
		return view.Chip{Tone: view.Bad, Word: "revoked"}
	case authority.Superseded:
		return view.Chip{Tone: view.None, Word: "followed by " + a.Successor}
	case authority.Pending:
		return view.Chip{Tone: view.Warn, Word: "waits for its certificate"}
	}
	return view.Chip{Tone: view.Warn, Word: string(a.State)}
}

// limitsOf are the path length and the name constraints of an authority in words.
func limitsOf(c *x509.Certificate) string {
	var words []string
	if c.MaxPathLen > 0 || c.MaxPathLenZero {
		words = append(words, "path length "+strconv.Itoa(c.MaxPathLen))
	}
	for _, side := range []struct {
		word string
		list [][]string
		nets int
	}{
		{"only", [][]string{c.PermittedDNSDomains, c.PermittedEmailAddresses, c.PermittedURIDomains}, len(c.PermittedIPRanges)},
		{"not", [][]string{c.ExcludedDNSDomains, c.ExcludedEmailAddresses, c.ExcludedURIDomains}, len(c.ExcludedIPRanges)},
	} {
		var names []string
		for _, l := range side.list {
			names = append(names, view.CleanAll(l, 5)...)
		}
		if side.nets > 0 {
			names = append(names, view.Plural(side.nets, "network", "networks"))
		}
		if len(names) > 0 {
			words = append(words, side.word+" "+strings.Join(names, ", "))
		}
	}
	return strings.Join(words, "; ")
}
