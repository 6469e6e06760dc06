package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/settings"
)

// objectsPage is the most that a vault lists at once.
const objectsPage = 25

// vaults shows the vaults by name.
func (c *Console) vaults(v *visit) error {
	after := v.query("after")
	list, err := c.Vaults.List(v.ctx(), v.caller, after, pageSize+1)
	if err != nil {
		return err
	}
	p := page.Vaults{Lead: "named containers of keys, secrets and certificates", Empty: view.Nothing{
		Title: "There is no vault.", Text: "The program makes the vault default at its first start; the API makes more.",
	}}
	next := ""
	if len(list) > pageSize {
		list = list[:pageSize]
		next = list[pageSize-1].Name
	}
	for _, x := range list {
		p.Rows = append(p.Rows, page.VaultRow{
			Name: view.Link{Text: x.Name, Href: vaultPath(x.Name)}, Address: c.VaultURL(x.Name),
			Retention: view.Plural(x.Settings().RetentionDays, "day", "days"), At: x.Settings().Created, Created: view.Day(x.Settings().Created),
		})
	}
	p.Pager = v.pager("after", after, next, len(list), 0)
	p.Pager.Shown = view.Plural(len(list), "vault", "vaults") + " shown"
	s := v.shell("Vaults", "/vaults")
	return v.show(http.StatusOK, p.Show(s))
}

func vaultPath(name string) string { return "/vaults/" + url.PathEscape(name) }

// vault shows the objects of one kind in a vault: names and attributes, never a value.
func (c *Console) vault(v *visit) error {
	x, err := c.Vaults.Get(v.ctx(), v.caller, v.r.PathValue("vault"))
	if err != nil {
		return err
	}
	kinds := []object.Kind{object.Secrets, object.Keys, object.Certificates}
	if x.Settings().Kind == object.ManagedHSM {
		kinds = []object.Kind{object.Keys}
	}
	kind := object.Kind(view.Or(v.query("kind"), string(kinds[0])))
	p := page.Vault{Name: x.Name, Address: c.VaultURL(x.Name), Kind: kind.Title() + "s", Props: []page.Prop{
		{Name: "Address", Text: c.VaultURL(x.Name), Mono: true},
		{Name: "Deleted objects", Text: "can be recovered for " + view.Plural(x.Settings().RetentionDays, "day", "days")},
		{Name: "Purge protection", Text: map[bool]string{true: "on: nobody can purge before then", false: "off"}[x.Settings().PurgeProtection]},
		{Name: "Access", Text: decidedBy(x.Settings())},
		{Name: "Network", Text: letIn(x.Settings())},
		{Name: "Made", Text: view.Day(x.Settings().Created)},
	}}
	if tags := tagsOf(x.Settings().Tags); tags != "" {
		p.Props = append(p.Props, page.Prop{Name: "Tags", Text: tags})
	}
	for _, k := range kinds {
		p.Tabs = append(p.Tabs, page.Tab{Text: k.Title() + "s", Href: vaultPath(x.Name) + "?kind=" + string(k), Current: k == kind})
	}
	here := v.query("after")
	rows, next, err := c.objects(v, x.Name, kind, here)
	if err != nil {
		return err
	}
	p.Rows = rows
	p.Pager = v.pager("after", here, next, len(rows), 0)
	p.Pager.Shown = view.Number(len(rows)) + " shown"
	p.Empty = view.Nothing{Title: "No " + string(kind) + " here.", Text: "Programs put them here with the Key Vault client of their language, at " + c.VaultURL(x.Name) + "."}
	s := v.shell(x.Name, "/vaults")
	return v.show(http.StatusOK, p.Show(s))
}

// decidedBy says what decides who may do what in a vault.
func decidedBy(s object.Settings) string {
	switch {
	case s.Kind == object.ManagedHSM:
		return "the HSM's own roles decide"
	case s.PolicyMode:
		return view.Plural(len(s.Policies), "access policy decides", "access policies decide")
	}
	return "roles decide"
}

// letIn says which addresses a vault answers.
func letIn(s object.Settings) string {
	text := "all addresses"
	switch n := s.Network; {
	case n.DefaultAction == settings.DenyAction && len(n.IPRules) == 0:
		text = "no address"
	case n.DefaultAction == settings.DenyAction && len(n.IPRules) > 5:
		text = view.Plural(len(n.IPRules), "rule lets in", "rules let in")
	case n.DefaultAction == settings.DenyAction:
		text = "only " + strings.Join(n.IPRules, ", ")
	}
	if s.Network.Private {
		text += ", if private"
	}
	return text
}

// objects lists one kind. It takes the attributes of an object, and of a key its public
// type; never the body, where values are.
func (c *Console) objects(v *visit, vault string, kind object.Kind, after string) ([]page.ObjectRow, string, error) {
	q := object.Page{After: after, Limit: objectsPage}
	var l object.Listing
	var err error
	switch kind {
	case object.Keys:
		l, err = c.Shelves.Keys.List(v.ctx(), v.caller, vault, q)
	case object.Secrets:
		l, err = c.Shelves.Secrets.List(v.ctx(), v.caller, vault, q)
	case object.Certificates:
		l, err = c.Shelves.Certificates.List(v.ctx(), v.caller, vault, q, true)
	default:
		err = none("A vault has keys, secrets and certificates.")
	}
	if err != nil {
		return nil, "", err
	}
	rows := make([]page.ObjectRow, 0, len(l.Entries))
	for _, e := range l.Entries {
		row := v.objectRow(e)
		if kind == object.Keys {
			d, err := keys.DetailsOf(e.Version)
			if err != nil {
				return nil, "", err
			}
			row.Type = keyType(d)
		}
		rows = append(rows, row)
	}
	return rows, l.Next, nil
}

func (v *visit) objectRow(e object.Entry) page.ObjectRow {
	row := page.ObjectRow{
		Name: view.Clean(e.Head.Name), State: view.Chip{Tone: view.OK, Word: "enabled"},
		At: e.Head.Updated, Updated: view.Relative(v.now, e.Head.Updated), Until: e.Version.Expires, Tags: tagsOf(e.Version.Tags),
	}
	switch {
	case e.Version.ID == "" || e.Head.Latest == "":
		row.State = view.Chip{Tone: view.Info, Word: "pending"}
	case !e.Version.Enabled:
		row.State = view.Chip{Tone: view.None, Word: "disabled"}
	case !e.Version.Expires.IsZero() && e.Version.Expires.Before(v.now):
		row.State = view.Chip{Tone: view.Warn, Word: "expired"}
	}
	if e.Head.Managed {
		row.Part = "belongs to a certificate"
	}
	if !row.Until.IsZero() {
		row.Expires = view.Relative(v.now, row.Until)
	}
	return row
}

// keyType is the type and size of a key, as far as they may be seen.
func keyType(d keys.Details) string {
	switch {
	case d.Curve != "":
		return view.Clean(d.Curve)
	case d.Algorithm != "":
		return view.Clean(d.Algorithm)
	case d.Bits != 0:
		return view.Clean(d.Type) + " " + strconv.Itoa(d.Bits)
	}
	return view.Clean(d.Type) + " " + strconv.Itoa(len(d.N)*8)
}

// tagsOf writes tags in the order of their names.
func tagsOf(tags map[string]string) string {
	list := make([]string, 0, len(tags))
	for name, value := range tags {
		list = append(list, view.Clean(name)+"="+view.Clean(value))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
