package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

func revocationCommand() *cobra.Command {
	c := group("revocation", "Bulk revocations: everything that an authority signed, of a profile, a key or an owner", authorityGroup,
		revocationPreviewCommand(), revocationStartCommand(), revocationListCommand(), revocationStopCommand())
	c.Aliases = []string{"revocations"}
	return c
}

// selection says what a bulk revocation hits.
type selection struct {
	Authority    string `json:"authority,omitempty"`
	Profile      string `json:"profile,omitempty"`
	KeySHA256    string `json:"keySHA256,omitempty"`
	Owner        string `json:"owner,omitempty"`
	Lineage      string `json:"lineage,omitempty"`
	IssuedAfter  string `json:"issuedAfter,omitempty"`
	IssuedBefore string `json:"issuedBefore,omitempty"`
}

func (s *selection) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.Authority, "authority", "", "everything that this authority signed")
	f.StringVar(&s.Profile, "profile", "", "certificates of this profile")
	f.StringVar(&s.KeySHA256, "key", "", "certificates of the key whose SubjectPublicKeyInfo has this SHA-256")
	f.StringVar(&s.Owner, "owner", "", "certificates of this owner")
	f.StringVar(&s.Lineage, "lineage", "", "certificates of this lineage")
	f.StringVar(&s.IssuedAfter, "issued-after", "", "issued at or after this time, as 2026-09-01T12:00:00Z")
	f.StringVar(&s.IssuedBefore, "issued-before", "", "issued before this time")
}

// bulk is a bulk revocation.
type bulk struct {
	ID        string    `json:"id"`
	Selection selection `json:"selection"`
	Reason    string    `json:"reason"`
	State     string    `json:"state"`
	Total     int       `json:"total"`
	Revoked   int       `json:"revoked"`
	Skipped   int       `json:"skipped"`
	CreatedAt time.Time `json:"createdAt"`
}

type preview struct {
	Count       int      `json:"count"`
	Authorities int      `json:"authorities"`
	Examples    []issued `json:"examples"`
}

type revocationOptions struct {
	remote
	listing
	selection
	reason, since string
	expect        int
	detach        bool
}

func revocationPreviewCommand() *cobra.Command {
	var o revocationOptions
	c := o.command("preview", "Show what a bulk revocation would hit", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runRevocationPreview(ctx, o) })
	o.selection.flags(c)
	return c
}

func runRevocationPreview(ctx context.Context, o revocationOptions) error {
	p, err := send[preview](ctx, o.remote, "POST /revocations/preview", o.selection)
	if err != nil {
		return err
	}
	if o.Format == terminal.JSON {
		return o.WriteJSON(p)
	}
	now := time.Now()
	terminal.Rows(o.Terminal, p.Value.Examples, []terminal.Column[issued]{
		{Name: "authority", Of: func(c issued) string { return c.Authority }},
		{Name: "serial", Of: func(c issued) string { return c.Serial }},
		{Name: "subject", Of: func(c issued) string { return c.Subject }},
		{Name: "profile", Of: func(c issued) string { return c.Profile }},
		{Name: "expires", Of: func(c issued) string { return terminal.Day(now, c.NotAfter) }},
	})
	if more := p.Value.Count - len(p.Value.Examples); more > 0 {
		fmt.Fprintf(o.Out, "and %d more\n", more)
	}
	fmt.Fprintf(o.Err, "this would revoke %s; to do it: chatelaine revocation start … --expect %d\n", terminal.Plural(p.Value.Count, "certificate"), p.Value.Count)
	return nil
}

func revocationStartCommand() *cobra.Command {
	var o revocationOptions
	c := o.command("start", "Revoke in bulk, and show the progress until it is over", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runRevocationStart(ctx, o) })
	c.Long = "Revoke in bulk, and show the progress until it is over. Interrupting ends the waiting alone;\nthe work goes on at the server, through restarts too."
	o.selection.flags(c)
	words := []string{"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation", "privilegeWithdrawn"}
	c.Flags().StringVar(&o.reason, "reason", "unspecified", strings.Join(words, ", "))
	complete(c, "reason", words...)
	sinceFlag(c, &o.since)
	c.Flags().IntVar(&o.expect, "expect", 0, "how many certificates the preview counted; with another number nothing is revoked")
	c.Flags().BoolVarP(&o.detach, "detach", "d", false, "do not wait")
	if err := c.MarkFlagRequired("expect"); err != nil {
		panic(err) // a flag that has just been defined
	}
	return c
}

func runRevocationStart(ctx context.Context, o revocationOptions) error {
	body := map[string]any{"selection": o.selection, "expected": o.expect, "reason": o.reason}
	if o.since != "" {
		body["invalidSince"] = o.since
	}
	b, err := send[bulk](ctx, o.remote, "POST /revocations", body)
	if err != nil {
		return err
	}
	if !o.detach {
		b, err = watchRevocation(ctx, o.remote, b)
	}
	if err != nil {
		return err
	}
	return show(o.remote, b, bulkColumns())
}

func watchRevocation(ctx context.Context, r remote, b client.Object[bulk]) (client.Object[bulk], error) {
	err := poll(ctx, r, "bulk revocation "+b.Value.ID, func(ctx context.Context, p *terminal.Progress) (bool, error) {
		now, err := get[bulk](ctx, r, at("GET /revocations/%s", b.Value.ID))
		if err != nil {
			return false, err
		}
		b = now
		p.Set(b.Value.Revoked+b.Value.Skipped, b.Value.Total, "revoked")
		return b.Value.State != "running", nil
	})
	if errors.Is(err, errInterrupted) {
		fmt.Fprintln(r.Err, "see how it goes with: chatelaine revocation list")
	}
	return b, err
}

func bulkColumns() []terminal.Column[bulk] {
	return []terminal.Column[bulk]{
		{Name: "id", Of: func(b bulk) string { return b.ID }},
		{Name: "begun", Of: func(b bulk) string { return terminal.Moment(b.CreatedAt) }},
		{Name: "reason", Of: func(b bulk) string { return b.Reason }},
		{Name: "state", Of: func(b bulk) string { return b.State }},
		{Name: "revoked", Of: func(b bulk) string { return strconv.Itoa(b.Revoked) + " of " + strconv.Itoa(b.Total) }},
	}
}

func revocationListCommand() *cobra.Command {
	var o revocationOptions
	c := o.command("list", "List bulk revocations, newest first", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return list(ctx, o.remote, o.listing, "GET /revocations", nil, bulkColumns())
	})
	o.listing.flags(c)
	return c
}

func revocationStopCommand() *cobra.Command {
	var o revocationOptions
	return o.command("stop ID", "Stop a bulk revocation; what it revoked stays revoked", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		b, err := send[bulk](ctx, o.remote, at("POST /revocations/%s/stop", args[0]), nil)
		if err != nil {
			return err
		}
		return show(o.remote, b, bulkColumns())
	})
}
