package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/discovery"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

const (
	maxCampaigns = 100
	maxRuns      = 100 // of one campaign; older ones are not kept
	latestRuns   = 20
)

func campaignPath(id string) string { return "/discovery/campaigns/" + url.PathEscape(id) }
func runPath(id string) string      { return "/discovery/runs/" + url.PathEscape(id) }

// discovery shows what is looked for, and what is being looked for now.
func (c *Console) discovery(v *visit) error { return c.showDiscovery(v, http.StatusOK, nil) }

// showDiscovery draws the page; refused is a scan that could not be started.
func (c *Console) showDiscovery(v *visit, status int, refused *page.Form) error {
	campaigns, err := c.Discovery.List(v.ctx(), v.caller, v.query("after"), maxCampaigns)
	if err != nil {
		return err
	}
	runs, err := c.Discovery.ListRuns(v.ctx(), v.caller, discovery.RunQuery{Limit: maxRuns})
	if err != nil {
		return err
	}
	p := page.Discovery{Lead: view.Plural(len(campaigns), "campaign", "campaigns")}
	names := map[string]string{}
	for _, x := range campaigns {
		names[x.ID] = view.Clean(x.Name)
	}
	last := map[string]discovery.Run{}
	for _, r := range runs { // newest first
		if _, ok := last[r.Campaign]; !ok {
			last[r.Campaign] = r
		}
		row := v.run(r, names[r.Campaign])
		if !r.State.Final() {
			p.Running = append(p.Running, row)
		}
		if len(p.Runs) < latestRuns {
			p.Runs = append(p.Runs, row)
		}
	}
	for _, x := range campaigns {
		row, err := v.campaignRow(x, last[x.ID])
		if err != nil {
			return err
		}
		p.Campaigns = append(p.Campaigns, row)
	}
	if p.Scan, err = c.scanForm(v); err != nil {
		return err
	}
	if refused != nil {
		p.Scan = *refused
	}
	s := v.shell("Discovery", "/discovery")
	return v.show(status, p.Show(s))
}

func (v *visit) campaignRow(x discovery.Campaign, last discovery.Run) (page.Campaign, error) {
	row := page.Campaign{
		Name: view.Link{Text: view.Clean(x.Name), Href: campaignPath(x.ID)}, What: targetsText(x.Draft), Often: often(x.Draft),
		State: view.Chip{Tone: view.None, Word: "never run"}, Run: campaignPath(x.ID) + "/run",
	}
	if last.ID != "" {
		row.State, row.At = runChip(last.State), last.Queued
		row.LastRun = view.Link{Text: view.Relative(v.now, last.Queued), Href: runPath(last.ID)}
		if !last.State.Final() {
			row.Run = ""
		}
	}
	found, _, err := v.counted("campaign = "+view.Quote(x.ID), view.Number)
	row.Found = found
	return row, err
}

func targetsText(d discovery.Draft) string {
	if d.Connection != "" {
		return "a connection"
	}
	text := view.Clean(strings.Join(d.Targets[:min(len(d.Targets), 5)], ", "))
	if more := len(d.Targets) - 5; more > 0 {
		text += " and " + view.Number(more) + " more"
	}
	if d.Ports != "" {
		text += " on " + view.Clean(d.Ports)
	}
	return text
}

func often(d discovery.Draft) string {
	switch {
	case d.Interval == 0:
		return "by hand"
	case !d.Enabled:
		return "paused"
	}
	return "every " + strings.TrimPrefix(view.Span(time.Duration(d.Interval)*time.Second), "1 ")
}

func runChip(s discovery.RunState) view.Chip {
	tones := map[discovery.RunState]view.Tone{
		discovery.Queued: view.None, discovery.Running: view.Info, discovery.Completed: view.OK, discovery.Failed: view.Bad, discovery.Canceled: view.None,
	}
	return view.Chip{Tone: tones[s], Word: string(s)}
}

// run is a run with its line, which lives while the run does.
func (v *visit) run(r discovery.Run, campaign string) page.Run {
	p := page.Run{
		ID: r.ID, Name: view.Link{Text: view.Or(campaign, "a campaign"), Href: campaignPath(r.Campaign)}, State: runChip(r.State), Progress: view.Progress{Done: r.Done, All: r.Total},
		Line: runLine(r), At: r.Queued, Started: view.Moment(v.now, r.Queued), Took: took(v.now, r), Message: view.Clean(r.Problem),
	}
	if r.State.Final() {
		p.Progress = view.Progress{Done: 1, All: 1}
		return p
	}
	p.Cancel = runPath(r.ID) + "/cancel"
	if n := v.polls() + 1; n < maxPolls*15 {
		p.Live = runPath(r.ID) + "/line?n=" + strconv.Itoa(n)
	}
	return p
}

func runLine(r discovery.Run) string {
	var parts []string
	switch {
	case r.State == discovery.Queued:
		return "waits for its turn"
	case r.Total > 0:
		parts = append(parts, view.Number(r.Done)+" of "+view.Plural(r.Total, "probe", "probes"))
	case r.Done > 0:
		parts = append(parts, view.Plural(r.Done, "object", "objects")+" read")
	}
	parts = append(parts, view.Plural(r.Found, "place", "places")+" with a certificate", view.Number(r.New)+" new", view.Number(r.Changed)+" changed")
	return strings.Join(parts, " · ")
}

func took(now time.Time, r discovery.Run) string {
	switch {
	case r.Started.IsZero():
		return ""
	case r.Finished.IsZero():
		return view.Span(now.Sub(r.Started))
	}
	return view.Span(r.Finished.Sub(r.Started))
}

// scanForm asks what to look at: the network, or over a connection that is a source.
func (c *Console) scanForm(v *visit) (page.Form, error) {
	chosen := v.query("source")
	f := page.Form{
		Action: "/discovery/scan", Submit: "Start the scan", TabsLabel: "Look at",
		Tabs: []page.Tab{{Text: "the network", Href: "/discovery#scan", Current: chosen == ""}},
		Fields: []page.Field{
			{Name: "name", Label: "Name", Value: "Scan of " + v.now.UTC().Format("2 Jan 15.04"), Required: true, Help: "It becomes a campaign of this name, which can be run again."},
		},
	}
	if err := c.sourceTabs(v, &f, chosen); err != nil {
		return f, err
	}
	if chosen == "" {
		f.Fields = append(f.Fields,
			page.Field{Name: "targets", Label: "Targets", Kind: "lines", Required: true, Help: "Hosts, addresses, ranges or networks, one a line: www.example.com, 10.0.3.0/24, db.example.com:5432."},
			page.Field{Name: "ports", Label: "Ports", Hint: "443,8443,9000-9010", Help: "Empty: the usual ports of TLS."},
			page.Field{Name: "exclude", Label: "Leave out", Kind: "lines", Help: "Hosts, addresses or networks, one a line."},
			page.Field{Name: "versions", Label: "Find out every TLS version that is accepted (more connections)", Kind: "check"},
		)
	} else {
		f.Action += "?" + url.Values{"source": {chosen}}.Encode()
	}
	f.Fields = append(f.Fields, page.Field{Name: "interval", Label: "Run it", Kind: "choice", Required: true, Options: []page.Option{
		{Value: "0", Text: "once, now"}, {Value: "3600", Text: "now and every hour"}, {Value: "86400", Text: "now and every day"}, {Value: "604800", Text: "now and every week"},
	}})
	return f, nil
}

// sourceTabs offers the connections that can be looked into.
func (c *Console) sourceTabs(v *visit, f *page.Form, chosen string) error {
	known := chosen == ""
	if c.Connections != nil {
		list, err := c.Connections.List(v.ctx(), v.caller, "", maxConnections)
		if err != nil && !fault.Is(err, fault.Denied) {
			return err
		}
		for _, x := range list {
			for _, k := range x.Kinds {
				if k == "source" {
					known = known || x.ID == chosen
					f.Tabs = append(f.Tabs, page.Tab{Text: view.Clean(x.Name), Href: "/discovery?" + url.Values{"source": {x.ID}}.Encode() + "#scan", Current: x.ID == chosen})
				}
			}
		}
	}
	if !known {
		return none("There is no such connection to look into.")
	}
	return nil
}

// startScan makes a campaign of the form and runs it.
func (c *Console) startScan(v *visit) error {
	f, err := c.scanForm(v)
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseInt(view.Or(v.form("interval"), "0"), 10, 64)
	if err != nil {
		return fault.New(fault.Invalid, "InvalidInterval", "Choose how often it runs.")
	}
	d := discovery.Draft{
		Name: v.form("name"), Targets: lines(v.form("targets")), Ports: v.form("ports"), Exclude: lines(v.form("exclude")), Versions: v.form("versions") == "true",
		Connection: v.query("source"), Interval: seconds, Enabled: seconds > 0,
	}
	x, err := c.Discovery.Create(v.ctx(), v.caller, d)
	if err != nil {
		e, ok := mendable(err)
		if !ok {
			return err
		}
		v.fill(&f, e)
		status, _ := problemOf(e)
		return c.showDiscovery(v, status, &f)
	}
	return c.start(v, x.ID)
}

// runCampaign runs a campaign out of turn.
func (c *Console) runCampaign(v *visit) error { return c.start(v, v.r.PathValue("id")) }

func (c *Console) start(v *visit, campaign string) error {
	r, err := c.Discovery.StartRun(v.ctx(), v.caller, campaign)
	if err != nil {
		return err
	}
	return v.goTo(runPath(r.ID))
}

// campaign shows one with its runs.
func (c *Console) campaign(v *visit) error {
	x, err := c.Discovery.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	runs, err := c.Discovery.ListRuns(v.ctx(), v.caller, discovery.RunQuery{Campaign: x.ID, Limit: maxRuns})
	if err != nil {
		return err
	}
	found, _, err := v.counted("campaign = "+view.Quote(x.ID), func(n int) string { return view.Plural(n, "certificate", "certificates") })
	if err != nil {
		return err
	}
	p := page.CampaignDetail{
		Name: view.Clean(x.Name), Lead: often(x.Draft), Run: campaignPath(x.ID) + "/run", Delete: campaignPath(x.ID) + "/delete",
		Props: []page.Prop{
			{Name: "Targets", List: view.CleanAll(x.Targets, maxNames)}, {Name: "Ports", Text: view.Or(view.Clean(x.Ports), "the usual ports of TLS")},
			{Name: "Found", Link: found}, {Name: "Made", Text: view.Minute(x.Created)},
		},
	}
	if x.Connection != "" {
		p.Props = append([]page.Prop{{Name: "Looks into", Link: view.Link{Text: c.connectionName(v, x.Connection), Href: connectionPath(x.Connection)}}}, p.Props[2:]...)
	}
	if !x.Next.IsZero() {
		p.Props = append(p.Props, page.Prop{Name: "Runs next", Text: view.Relative(v.now, x.Next)})
	}
	for _, r := range runs {
		p.Runs = append(p.Runs, v.run(r, p.Name))
	}
	s := v.shell(p.Name, "/discovery")
	return v.show(http.StatusOK, p.Show(s))
}

// askDeleteCampaign says what is lost and asks for the name.
func (c *Console) askDeleteCampaign(v *visit) error {
	f, _, err := c.deleteCampaignForm(v)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/discovery")))
}

func (c *Console) deleteCampaignForm(v *visit) (page.Form, discovery.Campaign, error) {
	x, err := c.Discovery.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return page.Form{}, x, err
	}
	name, here := view.Clean(x.Name), campaignPath(x.ID)
	return page.Form{
		Crumbs: []view.Link{{Text: "Discovery", Href: "/discovery"}, {Text: name, Href: here}}, Title: "Delete " + name,
		Lead:    "Nobody looks there again, and the list of its runs is deleted. What it found stays in the inventory.",
		Preview: []page.Prop{{Name: "Looks at", Text: targetsText(x.Draft)}, {Name: "Runs", Text: often(x.Draft)}},
		Action:  here + "/delete", Danger: true, Submit: "Delete the campaign", Cancel: here, Fields: []page.Field{typed(name)},
	}, x, nil
}

func (c *Console) deleteCampaign(v *visit) error {
	f, x, err := c.deleteCampaignForm(v)
	if err != nil {
		return err
	}
	if !v.confirmed(&f, x.Name) {
		return v.again(f, unconfirmed())
	}
	if err := c.Discovery.Delete(v.ctx(), v.caller, x.ID); err != nil {
		return v.again(f, err)
	}
	return v.goTo("/discovery?did=campaign-deleted")
}

// discoveryRun shows one run; its line lives while the run does.
func (c *Console) discoveryRun(v *visit) error {
	r, x, err := c.runOf(v)
	if err != nil {
		return err
	}
	p := v.run(r, view.Clean(x.Name))
	found, _, err := v.counted("campaign = "+view.Quote(x.ID), func(n int) string { return view.Plural(n, "certificate", "certificates") })
	if err != nil {
		return err
	}
	p.Title, p.Lead = "Run of "+view.Clean(x.Name), "started "+view.Relative(v.now, r.Queued)
	p.Props = []page.Prop{
		{Name: "Looks at", Text: targetsText(x.Draft)}, {Name: "Found by this campaign", Link: found},
		{Name: "Without an answer", Text: view.Plural(r.Unreachable, "probe", "probes")}, {Name: "Queued", Text: view.Minute(r.Queued) + " UTC"},
	}
	s := v.shell(p.Title, "/discovery")
	return v.show(http.StatusOK, p.Show(s))
}

func (c *Console) runOf(v *visit) (discovery.Run, discovery.Campaign, error) {
	r, err := c.Discovery.GetRun(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return r, discovery.Campaign{}, err
	}
	x, err := c.Discovery.Get(v.ctx(), v.caller, r.Campaign)
	return r, x, err
}

// runProgress is the live line of a run, for the page that asks again. At the end the
// whole page is loaded anew: more than the line has changed.
func (c *Console) runProgress(v *visit) error {
	r, x, err := c.runOf(v)
	if err != nil {
		return err
	}
	if r.State.Final() {
		v.w.Header().Set("HX-Refresh", "true")
	}
	return v.show(http.StatusOK, v.run(r, view.Clean(x.Name)).Progressing())
}

func (c *Console) cancelRun(v *visit) error {
	r, err := c.Discovery.CancelRun(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	return v.goTo(runPath(r.ID) + "?did=run-canceled")
}

// endpoints shows every TLS service that answered, with the certificate that it serves.
func (c *Console) endpoints(v *visit) error {
	q := inventory.EndpointQuery{Source: inventory.Network, After: v.query("after"), Limit: pageSize + 1}
	list, err := c.Inventory.Endpoints(v.ctx(), v.caller, q)
	if err != nil {
		return err
	}
	p := page.Endpoints{Lead: "where a handshake showed a certificate", Empty: view.Nothing{
		Title: "No endpoint was seen yet.", Text: "A scan connects to hosts and ports, and shows here what answers.", Actions: c.begin(),
	}}
	next := ""
	if len(list) > pageSize {
		list = list[:pageSize]
		next = list[pageSize-1].ID
	}
	served, err := v.served(list)
	if err != nil {
		return err
	}
	for _, i := range list {
		p.Rows = append(p.Rows, v.endpointRow(i, served[i.SHA256]))
	}
	p.Pager = v.pager("after", q.After, next, len(list), 0)
	p.Pager.Shown = view.Plural(len(list), "endpoint", "endpoints") + " shown"
	s := v.shell("Endpoints", "/endpoints")
	return v.show(http.StatusOK, p.Show(s))
}

// served are the certificates that installations show, in one question.
func (v *visit) served(list []inventory.Installation) (map[string]inventory.Summary, error) {
	found := map[string]inventory.Summary{}
	var conditions []string
	for _, i := range list {
		if _, asked := found[i.SHA256]; !asked {
			found[i.SHA256] = inventory.Summary{}
			conditions = append(conditions, "sha256 = "+i.SHA256)
		}
	}
	if len(conditions) == 0 {
		return found, nil
	}
	answer, err := v.c.Inventory.List(v.ctx(), v.caller, inventory.ListOptions{Filter: strings.Join(conditions, " or "), Limit: len(conditions)})
	for _, s := range answer.Certificates {
		found[s.SHA256] = s
	}
	return found, err
}

func (v *visit) endpointRow(i inventory.Installation, d inventory.Summary) page.EndpointRow {
	row := page.EndpointRow{
		Address: view.Clean(i.Place.String()), State: stateChip(i.State), At: i.LastSeen, Seen: view.Relative(v.now, i.LastSeen),
		Certificate: view.Link{Text: nameOf(d.Name, d.Subject, i.SHA256), Href: certificatePath(i.SHA256)},
		Life:        lifeOf(v.now, d.NotBefore, d.NotAfter),
	}
	if i.SNI != "" && i.SNI != i.Host {
		row.Name = view.Clean(i.SNI)
	}
	if i.TLS != nil {
		row.TLS = view.Clean(i.TLS.Version)
	}
	switch {
	case d.SelfSigned:
		row.Chain = "self-signed"
	case len(i.Chain) == 0:
		row.Chain = "sent without issuer"
	default:
		row.Chain = "with " + view.Plural(len(i.Chain), "issuer", "issuers")
	}
	return row
}
