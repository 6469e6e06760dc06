package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// audit shows the trail, newest first, under the filters in the address.
func (c *Console) audit(v *visit) error {
	return c.trail(v, page.Verify{Tone: view.None, Title: "Every record is chained to the one before.", Text: "Verifying reads all of them and holds them against the signed checkpoints."})
}

// verifyAudit checks the whole trail and shows the result above the list.
func (c *Console) verifyAudit(v *visit) error {
	r, err := c.Audit.Verify(v.ctx(), v.caller, nil)
	switch {
	case errors.Is(err, audit.ErrTampered):
		return c.trail(v, v.altered(err))
	case err != nil:
		return err
	}
	return c.trail(v, page.Verify{Asked: true, Tone: view.OK, Title: "The trail is whole.",
		Text: view.Plural(int(r.Records), "record", "records") + " and " + view.Plural(r.Checkpoints, "checkpoint", "checkpoints") + " were checked just now."})
}

// altered is what is said of a trail that is not what was written.
func (v *visit) altered(err error) page.Verify {
	v.c.Log.ErrorContext(v.ctx(), "the audit trail was altered", "correlation", v.from.Correlation, "error", err)
	return page.Verify{Asked: true, Tone: view.Bad, Title: "The trail was altered.",
		Text: view.Clean(err.Error()) + ". Do not trust what follows that record; keep a copy of the database, and compare it with a backup."}
}

func (c *Console) trail(v *visit, verify page.Verify) error {
	before, err := strconv.ParseInt(view.Or(v.query("before"), "0"), 10, 64)
	if err != nil || before < 0 {
		return fault.New(fault.Invalid, "InvalidPage", "before is the number of a record")
	}
	q := audit.Query{
		Before: before, Operation: v.query("operation"), Target: v.query("target"), Principal: v.query("who"),
		Outcome: audit.Outcome(v.query("outcome")), Limit: pageSize + 1,
	}
	p := page.Audit{Lead: "who did what, newest first; times are UTC", Verify: verify, Fields: auditFields(q), Empty: view.Nothing{
		Title: "No record matches.", Text: "Operations and principals are compared as a whole; a target includes everything below it.",
		Actions: []view.Link{{Text: "Show all", Href: "/audit"}},
	}}
	records, err := c.Audit.List(v.ctx(), v.caller, q)
	if errors.Is(err, audit.ErrTampered) {
		p.Verify, err = v.altered(err), nil
		p.Empty = view.Nothing{Title: "These records are not shown.", Text: "One of them is not what was written. Older or narrower lists may still be whole."}
	}
	if err != nil {
		return err
	}
	next := ""
	if len(records) > pageSize {
		records = records[:pageSize]
		next = strconv.FormatInt(records[pageSize-1].Sequence, 10)
	}
	for _, r := range records {
		p.Rows = append(p.Rows, c.recordRow(r))
	}
	if q.Operation+q.Target+q.Principal+string(q.Outcome) != "" {
		p.Reset = "/audit"
	}
	p.Pager = v.pager("before", v.query("before"), next, len(records), 0)
	p.Pager.Shown = view.Plural(len(records), "record", "records") + " shown"
	s := v.shell("Audit", "/audit")
	return v.show(http.StatusOK, p.Show(s))
}

func auditFields(q audit.Query) []page.Field {
	return []page.Field{
		{Name: "who", Label: "Principal id", Value: q.Principal},
		{Name: "operation", Label: "Operation", Value: q.Operation},
		{Name: "target", Label: "Target, such as /vaults/default", Value: q.Target},
		{Name: "outcome", Label: "Outcome", Kind: "choice", Value: string(q.Outcome), Options: []page.Option{
			{Value: "", Text: "any outcome"}, {Value: string(audit.Success), Text: "success"}, {Value: string(audit.Denied), Text: "denied"}, {Value: string(audit.Failed), Text: "failed"},
		}},
	}
}

func (c *Console) recordRow(r audit.Record) page.Record {
	tones := map[audit.Outcome]view.Tone{audit.Success: view.OK, audit.Denied: view.Bad, audit.Failed: view.Warn}
	row := page.Record{
		Sequence: view.Number(int(r.Sequence)), At: r.Time, When: r.Time.UTC().Format("2 Jan 15:04:05"),
		Who: view.Clean(view.Or(r.Name, r.Principal)), From: view.Clean(r.Address), Operation: view.Clean(r.Operation),
		Target: view.Clean(r.Target), Href: targetPage(r.Target), Outcome: view.Chip{Tone: tones[r.Outcome], Word: string(r.Outcome)},
	}
	names := make([]audit.Field, 0, len(r.Details))
	for f := range r.Details {
		names = append(names, f)
	}
	slices.Sort(names)
	for _, f := range names {
		p := page.Prop{Name: string(f), Text: view.Clean(r.Details[f])}
		if href := detailPage(f, r.Details[f]); href != "" && c.has(href) {
			p.Link = view.Link{Text: p.Text, Href: href}
		} else if !isID(p.Text) {
			row.Telling = append(row.Telling, string(f)+" "+p.Text)
		}
		row.Details = append(row.Details, p)
	}
	if !c.has(row.Href) {
		row.Href = ""
	}
	return row
}

// targetPage is the page of what a record is about, where there is one.
func targetPage(target string) string {
	parts := strings.Split(strings.Trim(target, "/"), "/")
	switch {
	case parts[0] == "vaults" && len(parts) == 2:
		return vaultPath(parts[1])
	case parts[0] == "vaults" && len(parts) > 2:
		return vaultPath(parts[1]) + "?kind=" + parts[2]
	case len(parts) != 2:
	case parts[0] == "certificates":
		return certificatePath(parts[1])
	case parts[0] == "campaigns":
		return campaignPath(parts[1])
	case parts[0] == "requests" || parts[0] == "lineages" || parts[0] == "connections":
		return "/" + parts[0] + "/" + url.PathEscape(parts[1])
	}
	return ""
}

// detailPage is the page of what a detail names.
func detailPage(f audit.Field, value string) string {
	switch f {
	case audit.Fingerprint:
		return certificatePath(value)
	case audit.Request:
		return requestPath(value)
	case audit.Lineage:
		return lineagePath(value)
	case audit.Connection:
		return connectionPath(value)
	case audit.Run:
		return runPath(value)
	}
	return ""
}
