package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/catalog"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/review"
	"chatelaine.dev/internal/serve/console/doors"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

func profilePath(name string) string { return "/profiles/" + url.PathEscape(name) }

func auditPath(id string) string { return "/issuance-audits/" + url.PathEscape(id) }

// maxAudits is how many audits the page of the profiles shows.
const maxAudits = 5

// profiles shows what certificates may look like, and the audits of what was issued.
func (c *Console) profiles(v *visit) error {
	entries, err := c.Catalog.List(v.ctx(), v.caller)
	if err != nil {
		return err
	}
	p := page.Profiles{Lead: view.Plural(len(entries), "profile", "profiles"), Start: "/issuance-audits"}
	for _, e := range entries {
		x := e.Profile
		p.Rows = append(p.Rows, page.ProfileRow{
			Name: view.Link{Text: x.Name, Href: profilePath(x.Name)}, Title: view.Clean(x.Title), Purposes: strings.Join(x.ExtendedKeyUsage, ", "),
			Valid: x.Validity.Default.String(), Doors: doors.Open(x.Doors), State: profileState(e),
		})
	}
	audits, err := c.Audits.List(v.ctx(), v.caller)
	if err != nil { // who sees profiles may be somebody who sees no audits
		if !fault.Is(err, fault.Denied) {
			return err
		}
		p.Start = ""
	}
	for _, r := range audits[:min(len(audits), maxAudits)] {
		if !r.State.Final() {
			p.Start = ""
		}
		p.Audits = append(p.Audits, page.IssuanceAuditRow{
			At: r.Queued, Asked: view.Link{Text: view.Relative(v.now, r.Queued), Href: auditPath(r.ID)},
			Checked: fmt.Sprintf("%d of %d", r.Checked, r.Total), State: reviewState(r),
		})
	}
	return v.show(http.StatusOK, p.Show(v.shell("Profiles", "/profiles")))
}

func profileState(e catalog.Entry) view.Chip {
	switch found := len(e.Profile.Findings()); {
	case found > 0:
		return view.Chip{Tone: view.Bad, Word: view.Plural(found, "finding", "findings")}
	case e.BuiltIn:
		return view.Chip{Tone: view.None, Word: "built in"}
	}
	return view.Chip{Tone: view.OK, Word: "yours"}
}

func reviewState(r review.Review) view.Chip {
	switch {
	case r.State == review.Failed:
		return view.Chip{Tone: view.Bad, Word: "failed"}
	case !r.State.Final():
		return view.Chip{Tone: view.None, Word: string(r.State)}
	case r.Found > 0:
		return view.Chip{Tone: view.Bad, Word: view.Plural(int(r.Found), "finding", "findings")}
	}
	return view.Chip{Tone: view.OK, Word: "nothing found"}
}

// maxProfileLines is how much of a profile's text its page shows.
const maxProfileLines = 2000

// profile shows one, with the ways in which it can be abused.
func (c *Console) profile(v *visit) error {
	e, err := c.Catalog.Entry(v.ctx(), v.caller, v.r.PathValue("name"))
	if err != nil {
		return err
	}
	x := e.Profile
	text, err := pretty(x)
	if err != nil {
		return err
	}
	p := page.Profile{
		Name: x.Name, Title: view.Clean(x.Title), State: profileState(e), Text: strings.Join(view.CleanAll(strings.Split(text, "\n"), maxProfileLines), "\n"),
		Actions: []page.Action{{Text: "Copy…", Href: profilePath(x.Name) + "/copy"}},
		Props: []page.Prop{
			{Name: "Authorities", Text: strings.Join(x.Authorities, ", ")}, {Name: "Keys", Text: strings.Join(x.Keys, ", ")},
			{Name: "Purposes", Text: strings.Join(x.ExtendedKeyUsage, ", ")}, {Name: "Valid for", Text: x.Validity.Default.String() + ", at most " + x.Validity.Max.String()},
			{Name: "Approval", Text: map[bool]string{true: "a person agrees to each certificate", false: "none"}[x.Approval]}, {Name: "Doors", Text: doors.Open(x.Doors)},
		},
	}
	if c.Doors != nil {
		p.Doors = page.DoorCards(c.Doors.Of(x))
		p.Actions = append(p.Actions, page.Action{Text: "Get a certificate…", Href: "/enrolment/profiles/" + url.PathEscape(x.Name) + "/csr"})
	}
	for _, f := range x.Findings() {
		p.Findings = append(p.Findings, page.Prop{Name: f.Shape, Text: f.Why})
	}
	if !e.BuiltIn {
		p.Actions = append(p.Actions, page.Action{Text: "Change…", Href: profilePath(x.Name) + "/change"}, page.Action{Text: "Delete…", Href: profilePath(x.Name) + "/delete", Danger: true})
		p.Props = append(p.Props, page.Prop{Name: "Changed", Text: view.Minute(e.Updated) + ", revision " + strconv.FormatInt(e.Revision, 10)})
	}
	return v.show(http.StatusOK, p.Show(v.shell(p.Name, "/profiles")))
}

// pretty is a profile as people edit it.
func pretty(p profile.Profile) (string, error) {
	raw, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	err = json.Indent(&b, raw, "", "  ")
	return b.String(), err
}

func profileCrumbs(name string) []view.Link {
	return []view.Link{{Text: "Profiles", Href: "/profiles"}, {Text: name, Href: profilePath(name)}}
}

func (c *Console) copyForm(v *visit) (page.Form, catalog.Entry, error) {
	e, err := c.Catalog.Entry(v.ctx(), v.caller, v.r.PathValue("name"))
	name := e.Profile.Name
	return page.Form{
		Crumbs: profileCrumbs(name), Title: "Copy " + name, Lead: "The copy is yours: change it as you like. Nothing is issued by it before somebody asks.",
		Action: profilePath(name) + "/copy", Submit: "Copy", Cancel: profilePath(name),
		Fields: []page.Field{{Name: "name", Label: "Name of the copy", Help: "Lower-case letters, digits and hyphens.", Required: true}},
	}, e, err
}

func (c *Console) askCopyProfile(v *visit) error {
	f, _, err := c.copyForm(v)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/profiles")))
}

func (c *Console) copyProfile(v *visit) error {
	f, from, err := c.copyForm(v)
	if err != nil {
		return err
	}
	e, err := c.Catalog.Copy(v.ctx(), v.caller, from.Profile.Name, v.form("name"))
	if err != nil {
		return v.again(f, err)
	}
	return v.goTo(profilePath(e.Profile.Name) + "?did=profile-made")
}

func (c *Console) changeForm(v *visit) (page.Form, catalog.Entry, error) {
	e, err := c.Catalog.Entry(v.ctx(), v.caller, v.r.PathValue("name"))
	if err != nil {
		return page.Form{}, e, err
	}
	text, err := pretty(e.Profile)
	name := e.Profile.Name
	return page.Form{
		Crumbs: profileCrumbs(name), Title: "Change " + name, Lead: "What is issued from then on follows it. What was issued stays as it is.",
		Action: profilePath(name) + "/change", Submit: "Change the profile", Cancel: profilePath(name),
		Fields: []page.Field{
			{Name: "profile", Label: "Profile, in JSON", Kind: "lines", Value: text, Required: true},
			{Name: "revision", Label: "Revision that is changed", Value: strconv.FormatInt(e.Revision, 10), Required: true, Help: "Refused when somebody else was faster."},
		},
	}, e, err
}

func (c *Console) askChangeProfile(v *visit) error {
	f, _, err := c.changeForm(v)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/profiles")))
}

func (c *Console) changeProfile(v *visit) error {
	f, e, err := c.changeForm(v)
	if err != nil {
		return err
	}
	revision, err := strconv.ParseInt(v.form("revision"), 10, 64)
	if err != nil {
		revision = 0 // which no profile is at
	}
	if _, err := c.Catalog.Update(v.ctx(), v.caller, e.Profile.Name, revision, []byte(v.form("profile"))); err != nil {
		return v.again(f, err)
	}
	return v.goTo(profilePath(e.Profile.Name) + "?did=profile-changed")
}

func (c *Console) deleteProfileForm(v *visit) (page.Form, catalog.Entry, error) {
	e, err := c.Catalog.Entry(v.ctx(), v.caller, v.r.PathValue("name"))
	name := e.Profile.Name
	return page.Form{
		Crumbs: profileCrumbs(name), Title: "Delete " + name, Lead: "What was issued by it stays. Renewals that follow it are refused from then on.",
		Action: profilePath(name) + "/delete", Danger: true, Submit: "Delete the profile", Cancel: profilePath(name), Fields: []page.Field{typed(name)},
	}, e, err
}

func (c *Console) askDeleteProfile(v *visit) error {
	f, _, err := c.deleteProfileForm(v)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/profiles")))
}

func (c *Console) deleteProfile(v *visit) error {
	f, e, err := c.deleteProfileForm(v)
	if err != nil {
		return err
	}
	if !v.confirmed(&f, e.Profile.Name) {
		return v.again(f, unconfirmed())
	}
	if err := c.Catalog.Delete(v.ctx(), v.caller, e.Profile.Name); err != nil {
		return v.again(f, err)
	}
	return v.goTo("/profiles?did=profile-deleted")
}

// startIssuanceAudit has everything that was issued linted again.
func (c *Console) startIssuanceAudit(v *visit) error {
	r, err := c.Audits.Start(v.ctx(), v.caller)
	if err != nil {
		return err
	}
	return v.goTo(auditPath(r.ID))
}

// issuanceAudit shows an audit and what it found.
func (c *Console) issuanceAudit(v *visit) error {
	r, err := c.Audits.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	serial, rule, _ := strings.Cut(v.query("after"), "/")
	found, err := c.Audits.Findings(v.ctx(), v.caller, r.ID, [2]string{serial, rule}, pageSize)
	if err != nil {
		return err
	}
	p := auditPage(r)
	for _, f := range found {
		p.Findings = append(p.Findings, page.IssuanceFinding{
			Subject: view.Clean(f.Subject), Serial: view.Clean(f.Authority + "/" + f.Serial), Profile: f.Profile, Rule: view.Clean(f.Rule), Detail: view.Clean(f.Detail),
		})
	}
	if len(found) == pageSize {
		last := found[len(found)-1]
		p.Pager = v.pager("after", v.query("after"), last.Serial+"/"+last.Rule, len(found), 0)
	}
	return v.show(http.StatusOK, p.Show(v.shell("Issuance audit", "/profiles")))
}

func auditPage(r review.Review) page.IssuanceAudit {
	p := page.IssuanceAudit{
		State: reviewState(r), Problem: view.Clean(r.Problem),
		Props: []page.Prop{
			{Name: "Asked for", Text: view.Minute(r.Queued)}, {Name: "Checked", Text: fmt.Sprintf("%d of %d certificates", r.Checked, r.Total)},
			{Name: "Findings", Text: strconv.FormatInt(r.Found, 10)},
		},
	}
	if !r.State.Final() {
		p.Live = auditPath(r.ID) + "/line"
	}
	return p
}

// auditProgress is how far an audit is, for the page that asks again. At the end the whole
// page is loaded anew: the findings have changed too.
func (c *Console) auditProgress(v *visit) error {
	r, err := c.Audits.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return err
	}
	if r.State.Final() {
		v.w.Header().Set("HX-Refresh", "true")
	}
	return v.show(http.StatusOK, auditPage(r).Progressing())
}
