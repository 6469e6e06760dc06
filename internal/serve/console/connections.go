package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/connection"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// maxConnections is how many a page shows; there are tens of them.
const maxConnections = 200

// connections shows what is connected and what can be.
func (c *Console) connections(v *visit) error {
	list, err := c.Connections.List(v.ctx(), v.caller, v.query("after"), maxConnections)
	if err != nil {
		return err
	}
	p := page.Connections{Lead: view.Plural(len(list), "connection", "connections")}
	for _, x := range list {
		p.Rows = append(p.Rows, page.ConnectionRow{
			Name: view.Link{Text: view.Clean(x.Name), Href: connectionPath(x.ID)}, Connector: c.connectorTitle(x.Connector), Offers: kindsOf(x),
			State: connectionState(x), At: x.Checked, Checked: view.Relative(v.now, x.Checked),
		})
	}
	if len(list) == maxConnections {
		p.Pager = v.pager("after", v.query("after"), list[len(list)-1].Name, len(list), 0)
	}
	for _, k := range c.Connectors {
		p.Kinds = append(p.Kinds, page.Kind{
			Name: k.Title, Text: k.Summary, Offers: strings.Join(k.Kinds, ", "), Href: "/connections/new?" + url.Values{"connector": {k.Name}}.Encode(),
		})
	}
	s := v.shell("Connections", "/connections")
	return v.show(http.StatusOK, p.Show(s))
}

func connectionPath(id string) string { return "/connections/" + url.PathEscape(id) }

func (c *Console) connector(name string) (Connector, bool) {
	at := slices.IndexFunc(c.Connectors, func(k Connector) bool { return k.Name == name })
	if at < 0 {
		return Connector{}, false
	}
	return c.Connectors[at], true
}

func (c *Console) connectorTitle(name string) string {
	if k, ok := c.connector(name); ok {
		return k.Title
	}
	return view.Clean(name)
}

func kindsOf(x connection.Connection) string {
	var kinds []string
	for _, k := range x.Kinds {
		kinds = append(kinds, string(k))
	}
	return strings.Join(kinds, ", ")
}

func connectionState(x connection.Connection) view.Chip {
	switch {
	case x.Problem != "":
		return view.Chip{Tone: view.Bad, Word: "does not work"}
	case x.Checked.IsZero():
		return view.Chip{Tone: view.None, Word: "not tested"}
	}
	return view.Chip{Tone: view.OK, Word: "works"}
}

// connection shows one, without its secrets.
func (c *Console) connection(v *visit) error {
	x, err := c.Connections.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	p := page.Connection{
		Name: view.Clean(x.Name), State: connectionState(x), Problem: view.Clean(x.Problem), Test: connectionPath(x.ID) + "/test",
		Next: page.Next{Actions: []page.Action{{Text: "Delete…", Href: connectionPath(x.ID) + "/delete", Danger: true}}},
		Props: []page.Prop{
			{Name: "Connector", Text: c.connectorTitle(x.Connector)}, {Name: "Used as", Text: kindsOf(x)},
			{Name: "Made", Text: view.Minute(x.Created)}, {Name: "Changed", Text: view.Minute(x.Updated)},
		},
	}
	if !x.Checked.IsZero() {
		p.Props = append(p.Props, page.Prop{Name: "Tested", Text: view.Relative(v.now, x.Checked)})
	}
	names := make([]string, 0, len(x.Settings))
	for name := range x.Settings {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p.Settings = append(p.Settings, page.Prop{Name: view.Clean(name), Text: settingText(x.Settings[name]), Mono: true})
	}
	for _, name := range x.Secrets {
		p.Settings = append(p.Settings, page.Prop{Name: view.Clean(name), Text: "set, and never shown"})
	}
	s := v.shell(p.Name, "/connections")
	return v.show(http.StatusOK, p.Show(s))
}

// settingText writes a setting of any type on one line.
func settingText(value any) string {
	if s, ok := value.(string); ok {
		return view.Clean(s)
	}
	b, err := json.Marshal(value)
	if err != nil { // it came from JSON
		return ""
	}
	return view.Clean(string(b))
}

// testConnection asks the other side, and shows what came of it.
func (c *Console) testConnection(v *visit) error {
	x, err := c.Connections.Test(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	did := "connection-works"
	if x.Problem != "" {
		did = "connection-fails"
	}
	return v.goTo(connectionPath(x.ID) + "?did=" + did)
}

// newConnection shows the form that follows from the connector's definition.
func (c *Console) newConnection(v *visit) error {
	f, _, err := c.connectionForm(v.query("connector"))
	if err != nil {
		return err
	}
	s := v.shell(f.Title, "/connections")
	return v.show(http.StatusOK, f.Show(s))
}

func (c *Console) connectionForm(name string) (page.Form, Connector, error) {
	k, ok := c.connector(name)
	if !ok {
		return page.Form{}, k, none("There is no such connector. The page Connections lists all.")
	}
	f := page.Form{
		Crumbs: []view.Link{{Text: "Connections", Href: "/connections"}}, Title: "Connect " + k.Title, Lead: k.Summary,
		Action: "/connections/new?" + url.Values{"connector": {k.Name}}.Encode(), Submit: "Connect", Cancel: "/connections",
		Fields: []page.Field{{Name: "name", Label: "Name", Help: "What you call it here.", Required: true}},
	}
	f.Fields = append(f.Fields, settingFields(k.Fields)...)
	return f, k, nil
}

// settingFields are the fields of a form that a connector's schema asks for.
func settingFields(list []ConnectorField) []page.Field {
	var fields []page.Field
	for _, x := range list {
		field := page.Field{Name: settingPrefix + x.Name, Label: x.Name, Help: x.Help, Required: x.Required && x.Type != "boolean", Kind: map[string]string{
			"secret": "secret", "number": "number", "boolean": "check", "list": "lines",
		}[x.Type]}
		if x.Type == "list" {
			field.Help += " One a line."
		}
		if len(x.Options) > 0 {
			field.Kind = "choice"
			if !x.Required {
				field.Options = append(field.Options, page.Option{Text: "as the connector does it"})
			}
			for _, o := range x.Options {
				field.Options = append(field.Options, page.Option{Value: o, Text: o})
			}
		}
		fields = append(fields, field)
	}
	return fields
}

// settingPrefix keeps a setting called "name" apart from the connection's name.
const settingPrefix = "setting-"

// createConnection keeps a new connection and tests it.
func (c *Console) createConnection(v *visit) error {
	f, k, err := c.connectionForm(v.query("connector"))
	if err != nil {
		return err
	}
	settings, err := v.settings(k.Fields)
	if err != nil {
		return v.again(f, err)
	}
	x, err := c.Connections.Create(v.ctx(), v.caller, connection.Draft{Name: v.form("name"), Connector: k.Name, Settings: settings})
	if err != nil {
		return v.again(f, err)
	}
	return v.goTo(connectionPath(x.ID) + "?did=connected")
}

// settings are the form's values as the connector's JSON; what was left empty is left out.
func (v *visit) settings(fields []ConnectorField) ([]byte, error) {
	values := map[string]any{}
	for _, f := range fields {
		text := v.form(settingPrefix + f.Name)
		if f.Type == "secret" {
			text = v.r.PostFormValue(settingPrefix + f.Name) // spaces may belong to it
		}
		switch {
		case text == "":
		case f.Type == "number":
			n, err := strconv.Atoi(text)
			if err != nil {
				return nil, fault.New(fault.Invalid, "InvalidSetting", "%s is a whole number", f.Name)
			}
			values[f.Name] = n
		case f.Type == "boolean":
			values[f.Name] = text == "true"
		case f.Type == "list":
			values[f.Name] = lines(text)
		default:
			values[f.Name] = text
		}
	}
	return json.Marshal(values)
}

// lines are the lines of a text that are not empty.
func lines(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}

// again shows a form that was refused, with what was typed; secrets are typed again.
// Only a refusal that the viewer can mend is shown there.
func (v *visit) again(f page.Form, err error) error {
	e, ok := mendable(err)
	if !ok {
		return err
	}
	v.fill(&f, e)
	status, _ := problemOf(e)
	return v.show(status, f.Show(v.shell(f.Title, "")))
}

// fill gives a refused form back what was typed, and says why it was refused.
func (v *visit) fill(f *page.Form, e *fault.Error) {
	f.Wrong = view.Clean(e.Message)
	for i := range f.Fields {
		if x := &f.Fields[i]; x.Kind != "secret" {
			x.Value = v.form(x.Name)
		}
	}
}

// askDeleteConnection says what is lost and asks for the name.
func (c *Console) askDeleteConnection(v *visit) error {
	f, _, err := c.deleteForm(v)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/connections")))
}

func (c *Console) deleteForm(v *visit) (page.Form, connection.Connection, error) {
	x, err := c.Connections.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return page.Form{}, x, err
	}
	name := view.Clean(x.Name)
	return page.Form{
		Crumbs: []view.Link{{Text: "Connections", Href: "/connections"}, {Text: name, Href: connectionPath(x.ID)}}, Title: "Delete " + name,
		Lead:    "Its settings and secrets are deleted. What it found stays in the inventory; nobody looks there again. A connection that a lineage deploys to stays until the lineage lets it go.",
		Preview: []page.Prop{{Name: "Connector", Text: c.connectorTitle(x.Connector)}, {Name: "Used as", Text: kindsOf(x)}},
		Action:  connectionPath(x.ID) + "/delete", Danger: true, Submit: "Delete the connection", Cancel: connectionPath(x.ID),
		Fields: []page.Field{typed(name)},
	}, x, nil
}

// typed asks for a name before something is destroyed.
func typed(name string) page.Field {
	return page.Field{Name: "confirm", Label: "Type " + name + " to confirm", Required: true}
}

// confirmed reports whether the name was typed; if not, the form says so.
func (v *visit) confirmed(f *page.Form, name string) bool {
	if v.form("confirm") == view.Clean(name) {
		return true
	}
	for i := range f.Fields {
		if f.Fields[i].Name == "confirm" {
			f.Fields[i].Wrong = "Type exactly: " + view.Clean(name)
		}
	}
	return false
}

// unconfirmed is the error of a name that was not typed.
func unconfirmed() error {
	return fault.New(fault.Invalid, "NotConfirmed", "The name does not match.")
}

func (c *Console) deleteConnection(v *visit) error {
	f, x, err := c.deleteForm(v)
	if err != nil {
		return err
	}
	if !v.confirmed(&f, x.Name) {
		return v.again(f, unconfirmed())
	}
	if err := c.Connections.Delete(v.ctx(), v.caller, x.ID); err != nil {
		return v.again(f, err)
	}
	return v.goTo("/connections?did=connection-deleted")
}
