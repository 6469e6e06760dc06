package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
)

func objectCommand() *cobra.Command {
	return group("object", "Single versions of keys, secrets and certificates", keepGroup,
		objectVersionsCommand(),
		objectEnableCommand("enable", "Enable one version", true), objectEnableCommand("disable", "Disable one version: it stays, and is not given out", false),
		objectDeleteVersionCommand())
}

// objectVersion is what the verbs read of a version.
type objectVersion struct {
	ID      string    `json:"id"`
	Latest  bool      `json:"latest"`
	Enabled bool      `json:"enabled"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

func objectVersionColumns() []terminal.Column[objectVersion] {
	return []terminal.Column[objectVersion]{
		{Name: "version", Of: func(v objectVersion) string { return v.ID }},
		{Name: "latest", Of: func(v objectVersion) string { return yes(v.Latest) }},
		{Name: "enabled", Of: func(v objectVersion) string { return yes(v.Enabled) }},
		{Name: "created", Of: func(v objectVersion) string { return terminal.Moment(v.Created) }},
		{Name: "expires", Of: func(v objectVersion) string { return terminal.Moment(v.Expires) }},
	}
}

// objectPath is where an object, or one version of it, is in the API: VAULT/KIND/NAME
// or VAULT/KIND/NAME/VERSION, as a user types it.
func objectPath(text string, version bool) (string, error) {
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(text, "/"), "vaults/"), "/")
	want := "VAULT/KIND/NAME"
	n := 3
	if version {
		want, n = want+"/VERSION", 4
	}
	if len(parts) != n {
		return "", fmt.Errorf("%q: want %s, such as payroll/secrets/db-password%s", text, want, map[bool]string{true: "/0123456789abcdef0123456789abcdef"}[version])
	}
	switch parts[1] {
	case "keys", "secrets", "certificates":
	default:
		return "", fmt.Errorf("%q: the kind is keys, secrets or certificates, not %q", text, parts[1])
	}
	path := at("/vaults/%s/%s/%s/versions", parts[0], parts[1], parts[2])
	if version {
		path += at("/%s", parts[3])
	}
	return path, nil
}

type objectVersionsOptions struct {
	remote
	listing
	object string
}

func objectVersionsCommand() *cobra.Command {
	var o objectVersionsOptions
	c := o.command("versions VAULT/KIND/NAME", "List the versions of an object, oldest first", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.object = args[0]
		return runObjectVersions(ctx, o)
	})
	o.flags(c)
	return c
}

func runObjectVersions(ctx context.Context, o objectVersionsOptions) error {
	path, err := objectPath(o.object, false)
	if err != nil {
		return err
	}
	return list(ctx, o.remote, o.listing, "GET "+path, nil, objectVersionColumns())
}

type objectVersionOptions struct {
	remote
	version string
	yes     bool
}

func objectEnableCommand(verb, short string, enabled bool) *cobra.Command {
	var o objectVersionOptions
	return o.command(verb+" VAULT/KIND/NAME/VERSION", short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.version = args[0]
		return runObjectEnable(ctx, o, enabled)
	})
}

func runObjectEnable(ctx context.Context, o objectVersionOptions, enabled bool) error {
	path, err := objectPath(o.version, true)
	if err != nil {
		return err
	}
	v, err := send[objectVersion](ctx, o.remote, "PATCH "+path, map[string]any{"enabled": enabled})
	if err != nil {
		return err
	}
	return show(o.remote, v, objectVersionColumns())
}

func objectDeleteVersionCommand() *cobra.Command {
	var o objectVersionOptions
	c := o.command("delete-version VAULT/KIND/NAME/VERSION", "Delete one version for good", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.version = args[0]
		return runObjectDeleteVersion(ctx, o)
	})
	c.Long = `Delete one version of a key, secret or certificate for good.

Nobody can bring it back, and what only this version of a key can decrypt is lost. If it
is the latest, the one before it is the latest from then on. The only version cannot be
deleted, and none in a vault with purge protection; disable it instead.`
	c.Flags().BoolVar(&o.yes, "yes", false, "it shall really be gone")
	return c
}

func runObjectDeleteVersion(ctx context.Context, o objectVersionOptions) error {
	path, err := objectPath(o.version, true)
	if err != nil {
		return err
	}
	if !o.yes {
		return errors.New("the version cannot be brought back; say --yes if that is meant, or disable it instead")
	}
	if err := o.Do(ctx, "DELETE "+path, nil, nil, nil); err != nil {
		return err
	}
	fmt.Fprintf(o.Err, "deleted %s\n", o.version)
	return nil
}
