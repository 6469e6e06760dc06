package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/inventory/filter"
	"chatelaine.dev/internal/lifecycle/lineage"
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
	matching, err := v.c.Inventory.Estimate(v.ctx(), v.caller, o.Filter)
	if err != nil {
		return err
	}
	all := matching
	if o.Filter != "" {
		if all, err = v.c.Inventory.Estimate(v.ctx(), v.caller, ""); err != nil {
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

// askAdopt asks what a discovered certificate's lineage is to be. The address says over
// which connection it is installed; its connector says what a place needs.
func (c *Console) askAdopt(v *visit) error {
	f, _, _, err := c.adoptForm(v)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/certificates")))
}

// adoptForm is the form, the certificate, and the fields of the place; no fields when it
// is to be installed nowhere.
func (c *Console) adoptForm(v *visit) (page.Form, inventory.Detail, []ConnectorField, error) {
	d, err := c.Inventory.Get(v.ctx(), v.caller, v.r.PathValue("sha256"))
	if err != nil {
		return page.Form{}, d, nil, err
	}
	name, here := nameOf(d.Name, d.Subject, d.SHA256), certificatePath(d.SHA256)
	f := page.Form{
		Crumbs: []view.Link{{Text: "Certificates", Href: "/certificates"}, {Text: name, Href: here}}, Title: "Adopt " + name,
		Lead:    "A lineage takes over: it asks for the next certificate in time, keeps it in a vault, installs it, and proves by a handshake that it is served.",
		Preview: []page.Prop{{Name: "Expires", Text: view.Relative(v.now, d.NotAfter)}, {Name: "Seen at", Text: view.Plural(len(d.Installations), "place", "places")}},
		Submit:  "Adopt", Cancel: here, TabsLabel: "Install over",
	}
	fields, err := c.installTabs(v, &f, here+"/adopt")
	if err != nil {
		return f, d, nil, err
	}
	vaults, err := c.Vaults.List(v.ctx(), v.caller, "", maxConnections)
	if err != nil {
		return f, d, nil, err
	}
	keep := page.Field{Name: "vault", Label: "Vault", Kind: "choice", Required: true, Help: "Each certificate becomes a version of a certificate there."}
	for _, x := range vaults {
		keep.Options = append(keep.Options, page.Option{Value: x.Name, Text: x.Name})
	}
	profiles := page.Field{Name: "profile", Label: "Profile", Kind: "choice", Required: true, Help: "What the certificate may look like, and who issues it."}
	for _, p := range c.Profiles() {
		profiles.Options = append(profiles.Options, page.Option{Value: p.Name, Text: p.Name})
		if profiles.Value == "" && len(d.ExtKeyUsage) > 0 && slices.Contains(p.ExtendedKeyUsage, d.ExtKeyUsage[0]) {
			profiles.Value = p.Name // what it is used for now
		}
	}
	f.Fields = append([]page.Field{
		{Name: "name", Label: "Name", Value: view.Clean(d.Name), Required: true, Help: "What people call it."},
		{Name: "owner", Label: "Owner", Value: view.Clean(d.Owner), Help: "The team or person who answers for it."},
		profiles, keep,
		{Name: "object", Label: "Name in the vault", Value: objectName(d.Name), Required: true, Help: "Letters, digits and dashes."},
		{Name: "days", Label: "Renew days before its end", Kind: "number", Help: "Empty: when two thirds of its life are over, which suits long and short lives alike."},
	}, f.Fields...)
	return f, d, fields, nil
}

// installTabs offers the connections that install, and asks for the place at the chosen one.
func (c *Console) installTabs(v *visit, f *page.Form, path string) ([]ConnectorField, error) {
	f.Action = path
	chosen := v.query("connection")
	f.Tabs = []page.Tab{{Text: "nothing: only renew and keep", Href: path, Current: chosen == ""}}
	if c.Connections == nil {
		return nil, nil
	}
	list, err := c.Connections.List(v.ctx(), v.caller, "", maxConnections)
	if fault.Is(err, fault.Denied) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var fields []ConnectorField
	for _, x := range list {
		k, ok := c.connector(x.Connector)
		if !ok || len(k.Place) == 0 {
			continue
		}
		q := "?" + url.Values{"connection": {x.ID}}.Encode()
		f.Tabs = append(f.Tabs, page.Tab{Text: view.Clean(x.Name), Href: path + q, Current: x.ID == chosen})
		if x.ID == chosen {
			f.Action = path + q
			fields = k.Place
			f.Fields = append(f.Fields, settingFields(k.Place)...)
		}
	}
	if chosen != "" && fields == nil {
		return nil, none("There is no such connection to install over.")
	}
	return fields, nil
}

// objectName makes the name of a vault object of a certificate's: www.example.com becomes
// www-example-com.
func objectName(name string) string {
	s := strings.Map(func(r rune) rune {
		if r < 128 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') {
			return r
		}
		return '-'
	}, strings.TrimPrefix(name, "*."))
	return strings.Trim(s[:min(len(s), 100)], "-")
}

// adopt makes the lineage.
func (c *Console) adopt(v *visit) error {
	f, d, fields, err := c.adoptForm(v)
	if err != nil {
		return err
	}
	a := lineage.Adoption{SHA256: d.SHA256, Wanted: lineage.Wanted{
		Name: v.form("name"), Owner: v.form("owner"), Profile: v.form("profile"), Keep: lineage.Keep{Vault: v.form("vault"), Name: v.form("object")},
	}}
	if days := v.form("days"); days != "" {
		if a.Rule.DaysBefore, err = strconv.Atoi(days); err != nil {
			return v.again(f, fault.New(fault.Invalid, "InvalidRule", "Days are a whole number."))
		}
	}
	if fields != nil {
		place, err := v.placeOf(fields)
		if err != nil {
			return v.again(f, err)
		}
		a.Targets = []lineage.Target{{Connection: v.query("connection"), Place: place}}
	}
	l, err := c.Lineages.Adopt(v.ctx(), v.caller, a)
	if err != nil {
		return v.again(f, err)
	}
	return v.goTo(lineagePath(l.ID) + "?did=adopted")
}

// revocable reports whether a page offers to revoke the certificate: whoever issued it
// must be somebody who can.
func revocable(d inventory.Detail) bool {
	return !d.SelfSigned && !d.CA && d.RevokedAt.IsZero() && d.Status != inventory.StatusExpired && d.Trust == inventory.Private
}

// askRevoke shows what a revocation hits and asks for the name.
func (c *Console) askRevoke(v *visit) error {
	f, _, err := c.revokeForm(v)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/certificates")))
}

func (c *Console) revokeForm(v *visit) (page.Form, inventory.Detail, error) {
	d, err := c.Inventory.Get(v.ctx(), v.caller, v.r.PathValue("sha256"))
	if err != nil {
		return page.Form{}, d, err
	}
	name, here := nameOf(d.Name, d.Subject, d.SHA256), certificatePath(d.SHA256)
	still := 0
	for _, i := range d.Installations {
		if used(i) {
			still++
		}
	}
	f := page.Form{
		Crumbs: []view.Link{{Text: "Certificates", Href: "/certificates"}, {Text: name, Href: here}}, Title: "Revoke " + name,
		Lead: "Whoever looks at revocation stops trusting it at once. It cannot be taken back.",
		Preview: []page.Prop{
			{Name: "Serial", Text: view.Clean(d.Serial), Mono: true}, {Name: "Expires", Text: view.Relative(v.now, d.NotAfter)},
			{Name: "Still in use at", Link: view.Link{Text: view.Plural(still, "place", "places"), Href: here + "#where"}}, {Name: "Owner", Text: view.Clean(d.Owner)},
		},
		Action: here + "/revoke", Danger: true, Submit: "Revoke", Cancel: here,
		Fields: []page.Field{
			{Name: "reason", Label: "Reason", Kind: "choice", Required: true, Options: []page.Option{
				{Value: "superseded", Text: "It was replaced"}, {Value: "keyCompromise", Text: "Its key may be known to others"}, {Value: "cessationOfOperation", Text: "It is not needed any more"},
				{Value: "affiliationChanged", Text: "What it says of its owner is not true any more"}, {Value: "privilegeWithdrawn", Text: "Its owner may not have it any more"}, {Value: "unspecified", Text: "Another reason"},
			}},
			{Name: "who", Label: "Who decides", Kind: "choice", Required: true, Options: []page.Option{
				{Value: "now", Text: "I do: revoke it now"}, {Value: "ask", Text: "Somebody else: make a request that waits for approval"},
			}},
			{Name: "comment", Label: "Why", Help: "For the approver and the record."},
			typed(name),
		},
	}
	if still > 0 {
		f.Warning = view.Plural(still, "place still serves it", "places still serve it") + ". Renew it first, or what connects there stops working."
	}
	return f, d, nil
}

// revoke revokes, or asks somebody else to agree to it.
func (c *Console) revoke(v *visit) error {
	f, d, err := c.revokeForm(v)
	if err != nil {
		return err
	}
	if !v.confirmed(&f, nameOf(d.Name, d.Subject, d.SHA256)) {
		return v.again(f, unconfirmed())
	}
	draft := enrollment.RevokeDraft{SHA256: d.SHA256, Comment: v.form("comment")}
	set(&draft.Reason, v.form("reason"))
	ask := c.Requests.RevokeNow
	if v.form("who") == "ask" {
		ask = c.Requests.RequestRevocation
	}
	r, err := ask(v.ctx(), v.caller, draft)
	if err != nil {
		return v.again(f, err)
	}
	return v.goTo(requestPath(r.ID) + "?did=asked")
}

// set gives a word to a field whose type belongs to a floor that a front door does not
// know; the service refuses words that do not exist.
func set[T ~string](field *T, word string) { *field = T(word) }
