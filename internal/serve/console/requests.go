package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

func requestPath(id string) string { return "/requests/" + url.PathEscape(id) }

// requests shows what was asked for, newest first.
func (c *Console) requests(v *visit) error {
	q := enrollment.Query{State: enrollment.State(v.query("state")), Lineage: v.query("lineage"), After: v.query("after"), Limit: pageSize + 1}
	list, err := c.Requests.List(v.ctx(), v.caller, q)
	if err != nil {
		return err
	}
	p := page.Requests{Lead: "what was asked for, and how far it came"}
	for _, t := range []struct {
		state enrollment.State
		text  string
	}{{"", "All"}, {enrollment.Pending, "Waiting for approval"}, {enrollment.InProgress, "Under way"}, {enrollment.Failed, "Failed"}, {enrollment.Completed, "Completed"}} {
		p.Tabs = append(p.Tabs, page.Tab{Text: t.text, Href: view.With("/requests", url.Values{}, "state", string(t.state), "lineage", q.Lineage), Current: t.state == q.State})
	}
	next := ""
	if len(list) > pageSize {
		list = list[:pageSize]
		next = list[pageSize-1].ID
	}
	for _, r := range list {
		p.Rows = append(p.Rows, page.RequestRow{
			ID: view.Link{Href: requestPath(r.ID)}, Name: requestName(r), Kind: string(r.Kind), State: requestChip(r.State), By: asker(r),
			Line: lineOf(r), At: r.Created, When: view.Relative(v.now, r.Created),
		})
	}
	p.Pager = v.pager("after", q.After, next, len(list), 0)
	p.Pager.Shown = view.Plural(len(list), "request", "requests") + " shown"
	p.Empty = view.Nothing{Title: "There is no such request.", Text: "Renewals make requests by themselves. A person makes one with Renew now on the page of a lineage.", Actions: []view.Link{{Text: "Lineages", Href: "/lineages"}}}
	s := v.shell("Requests", "/requests")
	return v.show(http.StatusOK, p.Show(s))
}

func requestName(r enrollment.Request) string {
	if r.Wanted.Name != "" {
		return view.Clean(r.Wanted.Name)
	}
	if r.Revoke != "" {
		return "certificate " + view.Clean(r.Revoke[:min(16, len(r.Revoke))])
	}
	return "request " + view.Clean(r.ID)
}

func asker(r enrollment.Request) string {
	return view.Clean(view.Or(r.RequesterName, r.Requester))
}

func requestChip(s enrollment.State) view.Chip {
	tones := map[enrollment.State]view.Tone{
		enrollment.Pending: view.Warn, enrollment.Approved: view.Info, enrollment.InProgress: view.Info, enrollment.Completed: view.OK,
		enrollment.Failed: view.Bad, enrollment.Denied: view.Bad, enrollment.Canceled: view.None, enrollment.Expired: view.None,
	}
	words := map[enrollment.State]string{enrollment.Pending: "waiting", enrollment.InProgress: "under way"}
	return view.Chip{Tone: tones[s], Word: view.Or(words[s], string(s))}
}

// lineOf says how far a request came, in one line.
func lineOf(r enrollment.Request) string {
	switch {
	case r.State == enrollment.Pending:
		return "waits for an approval"
	case r.Problem != "":
		return view.Clean(r.Problem)
	case r.State == enrollment.Completed:
		return "done"
	}
	return stepName(r.Step)
}

func stepName(s enrollment.Step) string {
	return map[enrollment.Step]string{
		enrollment.MakeKey: "Make the key", enrollment.Issue: "Have it issued and check what came back", enrollment.Keep: "Put it into the vault",
		enrollment.Record: "Tell the inventory", enrollment.Deploy: "Install it and prove it by a handshake", enrollment.Retire: "Retire the old one",
		enrollment.Deliver: "Hand it to the vault that has the key", enrollment.Withdraw: "Tell the issuer", enrollment.Mark: "Tell the inventory",
	}[s]
}

// request shows one, with what can be decided about it.
func (c *Console) request(v *visit) error {
	r, err := c.Requests.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	p, err := c.road(v, r)
	if err != nil {
		return err
	}
	p.Title = map[enrollment.Kind]string{enrollment.Enroll: "Enroll ", enrollment.Renew: "Renew ", enrollment.Revocation: "Revoke ", enrollment.Certify: "Certify ", enrollment.Direct: "Issue "}[r.Kind] + requestName(r)
	p.Props = c.requestProps(r)
	if r.State == enrollment.Pending {
		p.Approve = &page.Decision{Approve: requestPath(r.ID) + "/approve", Deny: requestPath(r.ID) + "/deny", Why: "Its profile wants a second person to agree. It waits until " + view.Minute(r.Wake) + " UTC."}
		if r.Requester == v.caller.Principal {
			p.Approve.Refused = "You asked for it, so somebody else must decide: anybody with the role Approver or Administrator."
		}
	}
	p.Actions = requestActions(r)
	p.Timeline = v.requestTimeline(r)
	s := v.shell(p.Title, "/requests")
	return v.show(http.StatusOK, p.Show(s))
}

// requestRoad is the card of steps, for the page that asks again. At the end the whole
// page is loaded anew: what can be done has changed too.
func (c *Console) requestRoad(v *visit) error {
	r, err := c.Requests.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	p, err := c.road(v, r)
	if err != nil {
		return err
	}
	if !r.State.Live() {
		v.w.Header().Set("HX-Refresh", "true")
	}
	return v.show(http.StatusOK, p.Road())
}

// road is how far a request came, step by step.
func (c *Console) road(v *visit, r enrollment.Request) (page.Request, error) {
	p := page.Request{ID: r.ID, State: requestChip(r.State), Message: view.Clean(r.Problem)}
	if n := v.polls() + 1; r.State.Live() && r.State != enrollment.Pending && n < maxPolls*5 {
		p.Live = requestPath(r.ID) + "/road?n=" + strconv.Itoa(n)
	}
	if r.Result.SHA256 != "" {
		p.Outcome = view.Link{Text: "Show the new certificate", Href: certificatePath(r.Result.SHA256)}
	}
	if r.Kind == enrollment.Direct && r.State == enrollment.Completed && c.Doors != nil { // whoever asked has not got it yet
		p.Outcome = view.Link{Text: "Take the certificate", Href: requestPath(r.ID) + "/certificate"}
	}
	p.Steps = append(p.Steps, page.Step{State: view.Chip{Tone: view.OK, Word: "done"}, Name: "Asked, and allowed by policy", At: r.Created, When: view.Moment(v.now, r.Created)})
	if r.NeedsApproval {
		p.Steps = append(p.Steps, v.approvalStep(r))
	}
	steps := []enrollment.Step{enrollment.MakeKey, enrollment.Issue, enrollment.Keep, enrollment.Record, enrollment.Deploy, enrollment.Retire}
	switch r.Kind {
	case enrollment.Certify:
		steps = []enrollment.Step{enrollment.Issue, enrollment.Deliver, enrollment.Record}
	case enrollment.Direct:
		steps = []enrollment.Step{enrollment.Issue, enrollment.Record}
	case enrollment.Revocation:
		steps = []enrollment.Step{enrollment.Withdraw, enrollment.Mark}
	}
	at := slices.Index(steps, r.Step)
	for i, step := range steps {
		x := page.Step{Name: stepName(step), State: stepChip(r.State, i-at)}
		if step == enrollment.Deploy {
			detail, err := c.deployments(v, r)
			if err != nil {
				return p, err
			}
			x.Detail = detail
		}
		p.Steps = append(p.Steps, x)
	}
	return p, nil
}

// stepChip is how a step stands that is ahead steps after the current one.
func stepChip(s enrollment.State, ahead int) view.Chip {
	switch {
	case s == enrollment.Completed || ahead < 0 && s != enrollment.Pending:
		return view.Chip{Tone: view.OK, Word: "done"}
	case ahead == 0 && s == enrollment.Failed:
		return view.Chip{Tone: view.Bad, Word: "failed"}
	case ahead == 0 && s == enrollment.InProgress:
		return view.Chip{Tone: view.Info, Word: "working"}
	case !s.Live() && s != enrollment.Failed:
		return view.Chip{Tone: view.None, Word: "not done"}
	}
	return view.Chip{Tone: view.None, Word: "to do"}
}

func (v *visit) approvalStep(r enrollment.Request) page.Step {
	x := page.Step{Name: "Approval", State: view.Chip{Tone: view.Warn, Word: "waiting"}, Detail: "of somebody else than " + asker(r)}
	for _, d := range r.Decisions {
		x.At, x.When = d.At, view.Moment(v.now, d.At)
		x.State, x.Detail = view.Chip{Tone: view.OK, Word: "approved"}, "by "+view.Clean(view.Or(d.Name, d.Principal))
		if !d.Approved {
			x.State = view.Chip{Tone: view.Bad, Word: "denied"}
		}
		if d.Comment != "" {
			x.Detail += ": " + view.Clean(d.Comment)
		}
	}
	if len(r.Decisions) == 0 && r.State != enrollment.Pending {
		x.State, x.Detail = view.Chip{Tone: view.None, Word: "not given"}, ""
	}
	return x
}

// deployments says in one line where the certificate is installed and where not.
func (c *Console) deployments(v *visit, r enrollment.Request) (string, error) {
	if len(r.Targets) == 0 {
		return "nowhere: the lineage has no place", nil
	}
	list, err := c.Deployments.List(v.ctx(), v.caller, deployment.Query{Request: r.ID, Limit: maxLines})
	if fault.Is(err, fault.Denied) {
		return view.Plural(len(r.Targets), "place", "places"), nil
	}
	if err != nil {
		return "", err
	}
	var parts []string
	for _, t := range r.Targets {
		state := "not yet"
		for _, d := range list {
			if d.Target.ID == t.ID {
				state = deploymentChip(d).Word
				if d.Problem != "" {
					state += " (" + view.Clean(d.Problem) + ")"
				}
				break // newest first
			}
		}
		parts = append(parts, placeText(t.Place)+": "+state)
	}
	return strings.Join(parts, " · "), nil
}

func (c *Console) requestProps(r enrollment.Request) []page.Prop {
	props := []page.Prop{{Name: "Asked by", Text: asker(r)}, {Name: "Asked", Text: view.Minute(r.Created) + " UTC"}}
	if r.Comment != "" {
		props = append(props, page.Prop{Name: "Why", Text: view.Clean(r.Comment)})
	}
	if r.Lineage != "" {
		props = append(props, page.Prop{Name: "Lineage", Link: view.Link{Text: view.Or(view.Clean(r.Wanted.Name), r.Lineage), Href: lineagePath(r.Lineage)}})
	}
	if r.Kind == enrollment.Revocation {
		return append(props, page.Prop{Name: "Revokes", Link: view.Link{Text: "the certificate", Href: certificatePath(r.Revoke)}}, page.Prop{Name: "Reason", Text: string(r.RevokeReason)})
	}
	props = append(props, page.Prop{Name: "Names", List: view.CleanAll(r.Wanted.Names.All(), maxNames)}, page.Prop{Name: "Profile", Text: view.Clean(r.Wanted.Profile)}, page.Prop{Name: "Key", Text: view.Clean(r.Wanted.Key)})
	if r.Door != "" {
		props = append(props, page.Prop{Name: "Asked by protocol", Text: view.Clean(r.Door)})
	}
	if r.Replaces != "" {
		props = append(props, page.Prop{Name: "Replaces", Link: view.Link{Text: "the certificate before", Href: certificatePath(r.Replaces)}})
	}
	return props
}

func requestActions(r enrollment.Request) []page.Post {
	var list []page.Post
	if r.State == enrollment.Failed {
		list = append(list, page.Post{Text: "Try again", Action: requestPath(r.ID) + "/retry", Primary: true})
	}
	if r.State == enrollment.Failed || r.State == enrollment.Pending {
		list = append(list, page.Post{Text: "Cancel the request", Action: requestPath(r.ID) + "/cancel"})
	}
	return list
}

func (v *visit) requestTimeline(r enrollment.Request) []page.Moment {
	list := []page.Moment{{At: r.Created, When: view.Minute(r.Created), Text: asker(r) + " asked for it", Tone: view.OK}}
	for _, d := range r.Decisions {
		m := page.Moment{At: d.At, When: view.Minute(d.At), Text: view.Clean(view.Or(d.Name, d.Principal)) + " approved it", Detail: view.Clean(d.Comment), Tone: view.OK}
		if !d.Approved {
			m.Text, m.Tone = view.Clean(view.Or(d.Name, d.Principal))+" denied it", view.Bad
		}
		list = append(list, m)
	}
	if !r.State.Live() {
		chip := requestChip(r.State)
		list = append(list, page.Moment{At: r.Updated, When: view.Minute(r.Updated), Text: "It ended: " + chip.Word, Detail: view.Clean(r.Problem), Tone: chip.Tone})
	}
	slices.Reverse(list)
	return list
}

// approve, retry and cancel are decisions without a question.
func (c *Console) approve(v *visit) error {
	_, err := c.Requests.Approve(v.ctx(), v.caller, v.r.PathValue("id"), "")
	return v.decided(err, "approved")
}

func (c *Console) retry(v *visit) error {
	_, err := c.Requests.Retry(v.ctx(), v.caller, v.r.PathValue("id"))
	return v.decided(err, "retried")
}

func (c *Console) cancel(v *visit) error {
	_, err := c.Requests.Cancel(v.ctx(), v.caller, v.r.PathValue("id"))
	return v.decided(err, "canceled")
}

func (v *visit) decided(err error, did string) error {
	if err != nil {
		return err
	}
	return v.goTo(requestPath(v.r.PathValue("id")) + "?did=" + did)
}

// askDeny asks why, because whoever asked will read it.
func (c *Console) askDeny(v *visit) error {
	r, err := c.Requests.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	f := denyForm(r)
	return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/requests")))
}

func denyForm(r enrollment.Request) page.Form {
	here := requestPath(r.ID)
	return page.Form{
		Crumbs: []view.Link{{Text: "Requests", Href: "/requests"}, {Text: requestName(r), Href: here}}, Title: "Deny " + requestName(r),
		Lead:   "The request ends. " + asker(r) + " reads why.",
		Action: here + "/deny", Danger: true, Submit: "Deny", Cancel: here, Fields: []page.Field{{Name: "comment", Label: "Why", Kind: "lines", Required: true}},
	}
}

func (c *Console) deny(v *visit) error {
	r, err := c.Requests.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	if v.form("comment") == "" {
		return v.again(denyForm(r), fault.New(fault.Invalid, "CommentNeeded", "Say why: whoever asked will read it."))
	}
	_, err = c.Requests.Deny(v.ctx(), v.caller, r.ID, v.form("comment"))
	return v.decided(err, "denied")
}

// askRenew asks before a renewal out of turn.
func (c *Console) askRenew(v *visit) error {
	f, err := c.renewForm(v)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/lineages")))
}

func (c *Console) renewForm(v *visit) (page.Form, error) {
	l, err := c.Lineages.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return page.Form{}, err
	}
	name, here := view.Clean(l.Name), lineagePath(l.ID)
	f := page.Form{
		Crumbs: []view.Link{{Text: "Lineages", Href: "/lineages"}, {Text: name, Href: here}}, Title: "Renew " + name + " now",
		Lead: "A new key and certificate are made, kept in the vault, installed at every place and proved by a handshake. If a place fails, it gets back what it had.",
		Preview: []page.Prop{
			{Name: "Names", List: view.CleanAll(l.Names.All(), maxNames)}, {Name: "Profile", Text: view.Clean(l.Profile)}, {Name: "Installed at", Text: view.Plural(len(l.Targets), "place", "places")},
		},
		Action: here + "/renew", Submit: "Renew now", Cancel: here, Fields: []page.Field{{Name: "comment", Label: "Why", Help: "For the approver and the record."}},
	}
	for _, t := range l.Targets {
		f.Preview = append(f.Preview, page.Prop{Name: "Place", Text: placeText(t.Place) + " over " + c.connectionName(v, t.Connection)})
	}
	return f, nil
}

func (c *Console) renew(v *visit) error {
	r, err := c.Requests.Create(v.ctx(), v.caller, enrollment.Draft{Lineage: v.r.PathValue("id"), Comment: v.form("comment")})
	if err != nil {
		f, formErr := c.renewForm(v)
		if formErr != nil {
			return errors.Join(err, formErr)
		}
		return v.again(f, err)
	}
	return v.goTo(requestPath(r.ID) + "?did=asked")
}

// waiting counts the requests that wait for an approval, up to a hundred.
func (v *visit) waiting() (string, error) {
	if v.c.Requests == nil || v.caller.Principal == "" {
		return "", nil
	}
	list, err := v.c.Requests.List(v.ctx(), v.caller, enrollment.Query{State: enrollment.Pending, Limit: 100})
	switch {
	case fault.Is(err, fault.Denied) || err == nil && len(list) == 0:
		return "", nil
	case err != nil:
		return "", err
	case len(list) == 100:
		return "99+", nil
	}
	return strconv.Itoa(len(list)), nil
}
