package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

func auditCommand() *cobra.Command {
	return group("audit", "The audit trail: who did what, chained and signed", governGroup, auditListCommand(), auditExportCommand(), auditVerifyCommand())
}

// record is what the verbs read of one.
type record struct {
	Sequence  int64             `json:"sequence"`
	Time      time.Time         `json:"time"`
	Operation string            `json:"operation"`
	Target    string            `json:"target"`
	Outcome   string            `json:"outcome"`
	Principal string            `json:"principal"`
	Name      string            `json:"name"`
	Address   string            `json:"address"`
	Details   map[string]string `json:"details"`
}

type auditListOptions struct {
	remote
	listing
	operation, target, principal, outcome string
	since, until                          moment
}

func auditListCommand() *cobra.Command {
	var o auditListOptions
	c := o.command("list", "List audit records, newest first", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runAuditList(ctx, o) })
	o.flags(c)
	f := c.Flags()
	f.StringVar(&o.operation, "operation", "", "such as SecretGet or CertificateIssue")
	f.StringVar(&o.target, "target", "", "this path and everything below it, such as /vaults/default")
	f.StringVar(&o.principal, "principal", "", "object id of who did it")
	f.StringVar(&o.outcome, "outcome", "", "success, denied or failed")
	f.Var(&o.since, "since", "a date, a time, or how long ago (24h, 7d)")
	f.Var(&o.until, "until", "as --since")
	complete(c, "outcome", "success", "denied", "failed")
	return c
}

func runAuditList(ctx context.Context, o auditListOptions) error {
	return list(ctx, o.remote, o.listing, "GET /audit", url.Values{
		"operation": {o.operation}, "target": {o.target}, "principal": {o.principal}, "outcome": {o.outcome},
		"since": {o.since.String()}, "until": {o.until.String()},
	}, []terminal.Column[record]{
		{Name: "#", Of: func(r record) string { return fmt.Sprint(r.Sequence) }},
		{Name: "time", Of: func(r record) string { return r.Time.UTC().Format("2006-01-02 15:04:05") }},
		{Name: "operation", Of: func(r record) string { return r.Operation }},
		{Name: "target", Of: func(r record) string { return r.Target }},
		{Name: "outcome", Of: func(r record) string { return r.Outcome }},
		{Name: "who", Of: func(r record) string {
			if r.Name != "" {
				return r.Name
			}
			return r.Principal
		}},
		{Name: "from", Of: func(r record) string { return r.Address }},
		{Name: "details", Of: func(r record) string {
			var parts []string
			for name, value := range r.Details {
				if name != "apiVersion" {
					parts = append(parts, name+"="+value)
				}
			}
			slices.Sort(parts)
			return strings.Join(parts, " ")
		}},
	})
}

type auditVerifyOptions struct{ remote }

func auditVerifyCommand() *cobra.Command {
	var o auditVerifyOptions
	c := o.command("verify", "Verify the whole audit trail", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runAuditVerify(ctx, o) })
	c.Long = "Verify the whole audit trail: every record's hash, the columns beside it, and every signed\ncheckpoint, the one outside the database too."
	return c
}

// report is what a verification found.
type report struct {
	Records     int64     `json:"records"`
	Checkpoints int       `json:"checkpoints"`
	Last        time.Time `json:"last"`
	Head        string    `json:"head"`
	Problem     string    `json:"problem"`
}

func (r report) verdict() string {
	if r.Problem != "" {
		return "NOT what was written"
	}
	return "whole"
}

func runAuditVerify(ctx context.Context, o auditVerifyOptions) error {
	p := terminal.NewProgress(o.Err, "the server reads every record")
	r, err := func() (client.Object[report], error) {
		defer p.Stop()
		return send[report](ctx, o.remote, "POST /audit/verify", nil)
	}()
	if err != nil {
		return fmt.Errorf("the audit trail is not verified: %w", err)
	}
	err = show(o.remote, r, []terminal.Column[report]{
		{Name: "audit trail", Of: report.verdict},
		{Name: "problem", Of: func(r report) string { return r.Problem }},
		{Name: "records", Of: func(r report) string { return fmt.Sprint(r.Records) }},
		{Name: "checkpoints", Of: func(r report) string { return fmt.Sprint(r.Checkpoints) }},
		{Name: "last record", Of: func(r report) string { return terminal.Moment(r.Last) }},
		{Name: "head", Of: func(r report) string { return r.Head }},
	})
	if err == nil && r.Value.Problem != "" {
		err = errTampered
	}
	return err
}

// errTampered makes the program fail where the trail is not what was written.
var errTampered = errors.New("somebody has changed the database behind the server's back; put back a copy that is whole, and find out who")
