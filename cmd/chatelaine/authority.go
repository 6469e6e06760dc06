package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

func authorityCommand() *cobra.Command {
	c := group("authority", "Authorities: the CAs of your own", authorityGroup, authorityListCommand(), authorityShowCommand(), authorityChainCommand(),
		authorityCertificatesCommand(), authorityCRLsCommand(), authorityCreateCommand(), authorityRequestCommand(), authorityImportCommand(), authorityCrossCommand(), authorityCrossesCommand(),
		authoritySucceedCommand(), authorityDisableCommand(), authorityEnableCommand(), authorityOfflineCommand())
	c.Aliases = []string{"authorities", "ca"}
	return c
}

// authority is what the verbs read of one.
type authority struct {
	ID          string    `json:"id"`
	Parent      string    `json:"parent"`
	Subject     string    `json:"subject"`
	NotAfter    time.Time `json:"notAfter"`
	Keystore    string    `json:"keystore"`
	State       string    `json:"state"`
	Successor   string    `json:"successor"`
	SHA256      string    `json:"sha256"`
	Certificate string    `json:"certificate"`
	Above       string    `json:"above"`
}

type authorityListOptions struct {
	remote
	listing
}

func authorityListCommand() *cobra.Command {
	var o authorityListOptions
	c := o.command("list", "List authorities", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runAuthorityList(ctx, o) })
	o.flags(c)
	return c
}

func runAuthorityList(ctx context.Context, o authorityListOptions) error {
	return list(ctx, o.remote, o.listing, "GET /authorities", nil, authorityColumns(time.Now()))
}

func authorityColumns(now time.Time) []terminal.Column[authority] {
	return []terminal.Column[authority]{
		{Name: "id", Of: func(a authority) string { return a.ID }},
		{Name: "below", Of: func(a authority) string { return a.Parent }},
		{Name: "subject", Of: func(a authority) string { return a.Subject }},
		{Name: "expires", Of: func(a authority) string {
			if a.NotAfter.IsZero() {
				return ""
			}
			return terminal.Day(now, a.NotAfter)
		}},
		{Name: "key in", Of: func(a authority) string { return a.Keystore }},
		{Name: "state", Of: func(a authority) string { return a.State }},
	}
}

type authorityOptions struct {
	remote
	listing
	authority string
}

func authorityChainCommand() *cobra.Command {
	var o authorityOptions
	c := o.command("chain AUTHORITY", "Print the certificates of an authority and those above it, in PEM", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			o.authority = args[0]
			return runAuthorityChain(ctx, o)
		})
	return c
}

func runAuthorityChain(ctx context.Context, o authorityOptions) error {
	chain := []client.Object[authority]{}
	for id := o.authority; id != "" && len(chain) < 8; {
		a, err := get[authority](ctx, o.remote, at("GET /authorities/%s", id))
		if err != nil {
			return err
		}
		chain, id = append(chain, a), a.Value.Parent
	}
	if o.Format == terminal.JSON {
		return o.WriteJSON(chain)
	}
	for _, a := range chain {
		fmt.Fprint(o.Out, a.Value.Certificate, a.Value.Above)
	}
	return nil
}

func authorityCertificatesCommand() *cobra.Command {
	var o authorityOptions
	c := o.command("certificates AUTHORITY", "List what an authority has issued, newest first", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			o.authority = args[0]
			return runAuthorityCertificates(ctx, o)
		})
	o.flags(c)
	return c
}

func runAuthorityCertificates(ctx context.Context, o authorityOptions) error {
	now := time.Now()
	return list(ctx, o.remote, o.listing, at("GET /authorities/%s/certificates", o.authority), nil, []terminal.Column[issued]{
		{Name: "serial", Of: func(c issued) string { return c.Serial }},
		{Name: "subject", Of: func(c issued) string { return c.Subject }},
		{Name: "profile", Of: func(c issued) string { return c.Profile }},
		{Name: "expires", Of: func(c issued) string { return terminal.Day(now, c.NotAfter) }},
		{Name: "state", Of: func(c issued) string { return c.State }},
		{Name: "reason", Of: func(c issued) string { return c.Reason }},
	})
}
