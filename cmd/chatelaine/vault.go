package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
)

func vaultCommand() *cobra.Command {
	return group("vault", "Vaults: containers of keys, secrets and certificates", keepGroup,
		vaultListCommand(), vaultShowCommand(), vaultCreateCommand())
}

// vault is what the verbs read of one.
type vault struct {
	Name            string    `json:"name"`
	Created         time.Time `json:"created"`
	RetentionDays   int       `json:"retentionDays"`
	PurgeProtection bool      `json:"purgeProtection"`
}

func vaultColumns() []terminal.Column[vault] {
	return []terminal.Column[vault]{
		{Name: "name", Of: func(v vault) string { return v.Name }},
		{Name: "retention", Of: func(v vault) string { return terminal.Plural(v.RetentionDays, "day") }},
		{Name: "purge protection", Of: func(v vault) string { return yes(v.PurgeProtection) }},
		{Name: "created", Of: func(v vault) string { return terminal.Moment(v.Created) }},
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

type vaultListOptions struct {
	remote
	listing
}

func vaultListCommand() *cobra.Command {
	var o vaultListOptions
	c := o.command("list", "List vaults", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runVaultList(ctx, o) })
	o.flags(c)
	return c
}

func runVaultList(ctx context.Context, o vaultListOptions) error {
	return list(ctx, o.remote, o.listing, "GET /vaults", nil, vaultColumns())
}

type vaultShowOptions struct {
	remote
	vault string
}

func vaultShowCommand() *cobra.Command {
	var o vaultShowOptions
	c := o.command("show VAULT", "Show a vault", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.vault = args[0]
		return runVaultShow(ctx, o)
	})
	c.ValidArgsFunction = completeNames(&o.remote, aVault)
	return c
}

func runVaultShow(ctx context.Context, o vaultShowOptions) error {
	v, err := get[vault](ctx, o.remote, at("GET /vaults/%s", o.vault))
	if err != nil {
		return err
	}
	return show(o.remote, v, vaultColumns())
}

type vaultCreateOptions struct {
	remote
	vault           string
	retention       int
	purgeProtection bool
}

func vaultCreateCommand() *cobra.Command {
	var o vaultCreateOptions
	c := o.command("create VAULT", "Create a vault", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.vault = args[0]
		return runVaultCreate(ctx, o)
	})
	c.Flags().IntVar(&o.retention, "retention-days", 90, "how long deleted objects can be recovered, 7 to 90")
	c.Flags().BoolVar(&o.purgeProtection, "purge-protection", false, "nobody can purge before retention ends; it cannot be taken back")
	return c
}

func runVaultCreate(ctx context.Context, o vaultCreateOptions) error {
	v, err := send[vault](ctx, o.remote, at("PUT /vaults/%s", o.vault), map[string]any{"retentionDays": o.retention, "purgeProtection": o.purgeProtection})
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Err, "created vault %s\n", v.Value.Name)
	return show(o.remote, v, vaultColumns())
}
