package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

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
