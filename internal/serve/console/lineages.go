package console

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/lifecycle/renewal"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// lineages shows the lines of certificates by name.
func (c *Console) lineages(v *visit) error {
	q := lineage.Query{After: v.query("after"), Owner: v.query("owner"), Limit: pageSize + 1}
	list, err := c.Lineages.List(v.ctx(), v.caller, q)
	if err != nil {
		return err
	}
	p := page.Lineages{Lead: "what renews itself, where it goes, and who answers for it"}
	next := ""
	if len(list) > pageSize {
		list = list[:pageSize]
		next = list[pageSize-1].Name
	}
	for _, l := range list {
		p.Rows = append(p.Rows, page.LineageRow{
			Name: view.Link{Text: view.Clean(l.Name), Href: lineagePath(l.ID)}, State: lineageState(v.now, l), Life: lifeOf(v.now, l.Current.NotBefore, l.Current.NotAfter),
			Profile: view.Clean(l.Profile), Owner: view.Clean(l.Owner), Targets: view.Plural(len(l.Targets), "place", "places"), Next: dueText(v.now, l),
		})
	}
	p.Pager = v.pager("after", q.After, next, len(list), 0)
	p.Pager.Shown = view.Plural(len(list), "lineage", "lineages") + " shown"
	s := v.shell("Lineages", "/lineages")
	return v.show(http.StatusOK, p.Show(s))
}

func lineagePath(id string) string { return "/lineages/" + url.PathEscape(id) }

func lineageState(now time.Time, l lineage.Lineage) view.Chip {
	switch {
	case l.Failures > 0:
		return view.Chip{Tone: view.Bad, Word: "failing"}
	case l.Current.SHA256 == "":
		return view.Chip{Tone: view.None, Word: "no certificate yet"}
	case now.After(l.Current.NotAfter):
		return view.Chip{Tone: view.Bad, Word: "expired"}
	case l.Paused:
		return view.Chip{Tone: view.Warn, Word: "paused"}
	}
	return view.Chip{Tone: view.OK, Word: "renews itself"}
}

func dueText(now time.Time, l lineage.Lineage) string {
	switch {
	case l.Paused:
		return "paused"
	case l.Due.IsZero():
		return "ask for the first one"
	case l.Due.Before(now):
		return "due now"
	case l.Failures > 0:
		return "tries again " + view.Relative(now, l.Due)
	}
	return "renews " + view.Relative(now, l.Due)
}

// lineage shows what is wanted of one, and how it stands.
func (c *Console) lineage(v *visit) error {
	l, err := c.Lineages.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	members, err := c.Lineages.Members(v.ctx(), v.caller, l.ID)
	if err != nil {
		return err
	}
	deployments, err := c.Deployments.List(v.ctx(), v.caller, deployment.Query{Lineage: l.ID, Limit: maxLines})
	if err != nil {
		return err
	}
	next, err := v.nextOfLineage(l)
	if err != nil {
		return err
	}
	p := page.Lineage{
		Name: view.Clean(l.Name), State: lineageState(v.now, l), Life: lifeOf(v.now, l.Current.NotBefore, l.Current.NotAfter),
		Next: next, Wanted: wantedProps(l),
	}
	for _, t := range l.Targets {
		p.Targets = append(p.Targets, v.target(t, deployments))
	}
	for i, m := range members[:min(len(members), maxLines)] {
		p.Versions = append(p.Versions, v.member(i, m, l))
	}
	p.Timeline = v.lineageTimeline(l, members, deployments)
	s := v.shell(p.Name, "/lineages")
	return v.show(http.StatusOK, p.Show(s))
}

// nextOfLineage is what the renewal engine says of it, with what a person can do.
func (v *visit) nextOfLineage(l lineage.Lineage) (page.Next, error) {
	next := renewal.Next{Text: dueText(v.now, l)}
	if v.c.Renewals != nil {
		var err error
		if next, err = v.c.Renewals.Next(v.ctx(), v.caller, l.ID); err != nil {
			return page.Next{}, err
		}
	}
	n := page.Next{Text: "It " + view.Clean(next.Text) + "."}
	switch next.Tone {
	case renewal.Alarm:
		n.Tone, n.Title = view.Bad, "Something is broken, or about to be."
	case renewal.Needs:
		n.Tone, n.Title = view.Warn, "It needs a person."
	case renewal.Busy:
		n.Tone, n.Title = view.Info, "Work is under way."
	default:
		n.Tone, n.Title = view.OK, "Nothing to do."
	}
	var requests []enrollment.Request
	if v.c.Requests != nil {
		var err error
		requests, err = v.c.Requests.List(v.ctx(), v.caller, enrollment.Query{Lineage: l.ID, Limit: 1})
		if err != nil && !fault.Is(err, fault.Denied) {
			return n, err
		}
	}
	busy := false
	for _, r := range requests {
		busy = r.State.Live()
		n.Actions = append(n.Actions, page.Action{Text: "Show the last request", Href: requestPath(r.ID), Primary: busy || r.State == enrollment.Failed})
	}
	if !busy && v.c.Requests != nil {
		n.Actions = append(n.Actions, page.Action{Text: "Renew now…", Href: lineagePath(l.ID) + "/renew", Primary: len(requests) == 0})
	}
	n.Actions = append(n.Actions, page.Action{Text: "Let go…", Href: lineagePath(l.ID) + "/remove", Danger: true})
	return n, nil
}

func wantedProps(l lineage.Lineage) []page.Prop {
	props := []page.Prop{
		{Name: "Names", List: view.CleanAll(l.Names.All(), maxNames)},
		{Name: "Profile", Text: view.Clean(l.Profile)},
		{Name: "Key", Text: view.Clean(l.Key)},
		{Name: "Kept in", Link: view.Link{Text: "vault " + view.Clean(l.Keep.Vault) + ", certificate " + view.Clean(l.Keep.Name), Href: vaultPath(l.Keep.Vault) + "?kind=certificates"}},
		{Name: "Owner", Text: view.Clean(l.Owner)},
		{Name: "Since", Text: view.Day(l.Created)},
	}
	if l.Authority != "" {
		props = slices.Insert(props, 2, page.Prop{Name: "Issued by", Text: view.Clean(l.Authority)})
	}
	return props
}

// target is a place with its last deployment.
func (v *visit) target(t lineage.Target, deployments []deployment.Deployment) page.Target {
	p := page.Target{Where: placeText(t.Place), With: v.c.connectionName(v, t.Connection), State: view.Chip{Tone: view.None, Word: "nothing yet"}, Message: endpointsText(t.Endpoints)}
	i := slices.IndexFunc(deployments, func(d deployment.Deployment) bool { return d.Target.ID == t.ID }) // newest first
	if i < 0 {
		return p
	}
	d := deployments[i]
	p.State, p.At, p.When = deploymentChip(d), d.Updated, view.Relative(v.now, d.Updated)
	switch {
	case d.Problem != "":
		p.Message = view.Clean(d.Problem)
		if d.RollBack != "" {
			p.Message += " And it could not be put back: " + view.Clean(d.RollBack)
		}
	case !d.Verified.IsZero():
		p.Message = "A handshake showed the certificate at " + endpointsText(d.Target.Endpoints) + "."
	case d.State == deployment.Completed:
		p.Message = "Installed. Nobody looks whether it is served: the place names no endpoint."
	}
	return p
}

// connectionName is what people call a connection; its id where they may not see it.
func (c *Console) connectionName(v *visit, id string) string {
	if c.Connections == nil {
		return view.Clean(id)
	}
	x, err := c.Connections.Get(v.ctx(), v.caller, id)
	if err != nil { // denied, or gone: the id says enough
		return view.Clean(id)
	}
	return view.Clean(x.Name)
}

func placeText(place map[string]any) string {
	var parts []string
	names := make([]string, 0, len(place))
	for name := range place {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if s, ok := place[name].(string); ok && s != "" {
			parts = append(parts, view.Clean(s))
		}
	}
	return view.Or(strings.Join(parts, ", "), "a place")
}

func endpointsText(list []lineage.Endpoint) string {
	var parts []string
	for _, e := range list[:min(len(list), 3)] {
		parts = append(parts, view.Clean(e.Place().String()))
	}
	text := strings.Join(parts, ", ")
	if len(list) > 3 {
		text += " and " + view.Number(len(list)-3) + " more"
	}
	return text
}

func deploymentChip(d deployment.Deployment) view.Chip {
	switch d.State {
	case deployment.Completed:
		if !d.Verified.IsZero() {
			return view.Chip{Tone: view.OK, Word: "served"}
		}
		return view.Chip{Tone: view.OK, Word: "installed"}
	case deployment.Running:
		return view.Chip{Tone: view.Info, Word: string(d.Stage)}
	case deployment.RollingBack:
		return view.Chip{Tone: view.Warn, Word: "rolling back"}
	case deployment.Failed:
		return view.Chip{Tone: view.Bad, Word: "rolled back"}
	case deployment.Stuck:
		return view.Chip{Tone: view.Bad, Word: "stuck"}
	}
	return view.Chip{Tone: view.None, Word: string(d.State)}
}

func (v *visit) member(i int, m lineage.Member, l lineage.Lineage) page.Version {
	p := page.Version{
		Name: view.Link{Text: m.SHA256[:min(16, len(m.SHA256))], Href: certificatePath(m.SHA256)}, Life: lifeOf(v.now, m.NotBefore, m.NotAfter),
		State: view.Chip{Tone: view.None, Word: "replaced"}, Since: view.Relative(v.now, m.Since), At: m.Since, From: "adopted",
	}
	if m.SHA256 == l.Current.SHA256 && i == 0 {
		p.State = view.Chip{Tone: view.OK, Word: "current"}
	}
	if m.Request != "" {
		p.From = "request"
		if v.c.Requests != nil {
			p.Request = view.Link{Text: "request", Href: requestPath(m.Request)}
		}
	}
	return p
}

func (v *visit) lineageTimeline(l lineage.Lineage, members []lineage.Member, deployments []deployment.Deployment) []page.Moment {
	var list []page.Moment
	add := func(at time.Time, tone view.Tone, text, detail, href string) {
		if !at.IsZero() {
			list = append(list, page.Moment{At: at, When: view.Minute(at), Text: text, Detail: detail, Tone: tone, Coming: at.After(v.now), Link: view.Link{Href: href}})
		}
	}
	add(l.Current.NotAfter, view.Bad, "The current certificate ends", "", "")
	if !l.Paused && l.Due.After(v.now) {
		add(l.Due, view.OK, "It renews itself", "", "")
	}
	for _, m := range members {
		text := "A new certificate became the current one"
		if m.Request == "" {
			text = "A certificate was adopted"
		}
		add(m.Since, view.OK, text, "", certificatePath(m.SHA256))
	}
	for _, d := range deployments {
		chip := deploymentChip(d)
		add(d.Updated, chip.Tone, "At "+placeText(d.Target.Place)+": "+chip.Word, view.Clean(d.Problem), "")
	}
	slices.SortStableFunc(list, func(a, b page.Moment) int { return cmp.Or(b.At.Compare(a.At), 0) })
	return list[:min(len(list), maxLines)]
}

// askRemove says what letting go means and asks for the name.
func (c *Console) askRemove(v *visit) error {
	f, _, err := c.removeForm(v)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/lineages")))
}

func (c *Console) removeForm(v *visit) (page.Form, lineage.Lineage, error) {
	l, err := c.Lineages.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return page.Form{}, l, err
	}
	name := view.Clean(l.Name)
	f := page.Form{
		Crumbs: []view.Link{{Text: "Lineages", Href: "/lineages"}, {Text: name, Href: lineagePath(l.ID)}}, Title: "Let go of " + name,
		Lead: "Its certificates stay where they are, and in their vault. Nobody renews them any more.",
		Preview: []page.Prop{
			{Name: "Installed at", Text: view.Plural(len(l.Targets), "place", "places")}, {Name: "Owner", Text: view.Clean(l.Owner)},
		},
		Action: lineagePath(l.ID) + "/remove", Danger: true, Submit: "Let go", Cancel: lineagePath(l.ID), Fields: []page.Field{typed(name)},
	}
	if !l.Current.NotAfter.IsZero() {
		f.Warning = "Unless somebody replaces it, the current certificate ends " + view.Relative(v.now, l.Current.NotAfter) + "."
	}
	return f, l, nil
}

func (c *Console) removeLineage(v *visit) error {
	f, l, err := c.removeForm(v)
	if err != nil {
		return err
	}
	if !v.confirmed(&f, l.Name) {
		return v.again(f, unconfirmed())
	}
	if err := c.Lineages.Remove(v.ctx(), v.caller, l.ID); err != nil {
		return v.again(f, err)
	}
	return v.goTo("/lineages?did=let-go")
}

// placeOf are the form's values of a connector's place.
func (v *visit) placeOf(fields []ConnectorField) (map[string]any, error) {
	b, err := v.settings(fields)
	if err != nil {
		return nil, err
	}
	var place map[string]any
	return place, json.Unmarshal(b, &place)
}
