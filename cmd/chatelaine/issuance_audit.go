package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

func issuanceAuditCommand() *cobra.Command {
	return group("issuance-audit", "Issuance audits: everything that was ever issued, linted again", authorityGroup,
		issuanceAuditStartCommand(), issuanceAuditListCommand(), issuanceAuditFindingsCommand())
}

// issuanceAudit is what the verbs read of one.
type issuanceAudit struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Queued   time.Time `json:"queued"`
	Finished time.Time `json:"finished"`
	Total    int       `json:"total"`
	Checked  int       `json:"checked"`
	Found    int       `json:"found"`
	Problem  string    `json:"problem"`
}

func issuanceAuditColumns() []terminal.Column[issuanceAudit] {
	return []terminal.Column[issuanceAudit]{
		{Name: "audit", Of: func(a issuanceAudit) string { return a.ID }},
		{Name: "state", Of: func(a issuanceAudit) string { return a.State }},
		{Name: "queued", Of: func(a issuanceAudit) string { return terminal.Moment(a.Queued) }},
		{Name: "checked", Of: func(a issuanceAudit) string { return fmt.Sprintf("%d of %d", a.Checked, a.Total) }},
		{Name: "findings", Of: func(a issuanceAudit) string { return fmt.Sprint(a.Found) }},
		{Name: "problem", Of: func(a issuanceAudit) string { return a.Problem }},
	}
}

type issuanceAuditOptions struct {
	remote
	listing
	audit  string
	detach bool
}

func issuanceAuditStartCommand() *cobra.Command {
	var o issuanceAuditOptions
	c := o.command("start", "Start an issuance audit, and show its progress until it is over", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return runIssuanceAuditStart(ctx, o) })
	c.Flags().BoolVarP(&o.detach, "detach", "d", false, "do not wait")
	return c
}

func runIssuanceAuditStart(ctx context.Context, o issuanceAuditOptions) error {
	a, err := send[issuanceAudit](ctx, o.remote, "POST /issuance-audits", nil)
	if client.HasCode(err, "AuditUnderWay") {
		fmt.Fprintln(o.Err, "an issuance audit is under way already; this is its progress")
		a, err = latestIssuanceAudit(ctx, o.remote)
	}
	if err != nil {
		return err
	}
	if o.detach {
		return show(o.remote, a, issuanceAuditColumns())
	}
	err = poll(ctx, o.remote, "issuance audit "+a.Value.ID, func(ctx context.Context, p *terminal.Progress) (bool, error) {
		now, err := get[issuanceAudit](ctx, o.remote, at("GET /issuance-audits/%s", a.Value.ID))
		if err != nil {
			return false, err
		}
		a = now
		p.Set(a.Value.Checked, a.Value.Total, fmt.Sprintf("%s, %d findings", a.Value.State, a.Value.Found))
		return a.Value.State == "completed" || a.Value.State == "failed", nil
	})
	if errors.Is(err, errInterrupted) {
		fmt.Fprintln(o.Err, "see how it goes with: chatelaine issuance-audit list")
	}
	if err != nil {
		return err
	}
	if err := show(o.remote, a, issuanceAuditColumns()); err != nil {
		return err
	}
	switch {
	case a.Value.State == "failed":
		return fmt.Errorf("the audit failed: %s", a.Value.Problem)
	case a.Value.Found > 0:
		return fmt.Errorf("%d findings; see them with: chatelaine issuance-audit findings %s", a.Value.Found, a.Value.ID)
	}
	return nil
}

func latestIssuanceAudit(ctx context.Context, r remote) (client.Object[issuanceAudit], error) {
	for o, err := range client.All[issuanceAudit](ctx, r.Client, "GET /issuance-audits", url.Values{"limit": {"1"}}) {
		return o, err
	}
	return client.Object[issuanceAudit]{}, errors.New("the audit is no longer kept; start another")
}

func issuanceAuditListCommand() *cobra.Command {
	var o issuanceAuditOptions
	c := o.command("list", "List issuance audits, newest first", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return list(ctx, o.remote, o.listing, "GET /issuance-audits", nil, issuanceAuditColumns())
	})
	o.flags(c)
	return c
}

// issuanceFinding is a line of what an audit found.
type issuanceFinding struct {
	Serial    string `json:"serial"`
	Authority string `json:"authority"`
	Profile   string `json:"profile"`
	Subject   string `json:"subject"`
	Rule      string `json:"rule"`
	Detail    string `json:"detail"`
}

func issuanceAuditFindingsCommand() *cobra.Command {
	var o issuanceAuditOptions
	c := o.command("findings AUDIT", "List what an issuance audit found", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.audit = args[0]
		return runIssuanceAuditFindings(ctx, o)
	})
	o.flags(c)
	return c
}

func runIssuanceAuditFindings(ctx context.Context, o issuanceAuditOptions) error {
	return list(ctx, o.remote, o.listing, at("GET /issuance-audits/%s/findings", o.audit), nil, []terminal.Column[issuanceFinding]{
		{Name: "certificate", Of: func(f issuanceFinding) string { return f.Authority + "/" + f.Serial }},
		{Name: "subject", Of: func(f issuanceFinding) string { return f.Subject }},
		{Name: "profile", Of: func(f issuanceFinding) string { return f.Profile }},
		{Name: "rule", Of: func(f issuanceFinding) string { return f.Rule }},
		{Name: "detail", Of: func(f issuanceFinding) string { return f.Detail }},
	})
}
