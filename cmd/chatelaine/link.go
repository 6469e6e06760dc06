package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
)

type linkOptions struct {
	remote
	principal string
}

func linkCommand() *cobra.Command {
	var o linkOptions
	c := o.command("link", "Make a link that signs you in to the console, once", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runLink(ctx, o) })
	c.GroupID = governGroup
	c.Flags().StringVar(&o.principal, "principal", "", "name or id of who signs in (default: who calls)")
	return c
}

func runLink(ctx context.Context, o linkOptions) error {
	body := map[string]any{}
	if o.principal != "" {
		id, err := idOf(ctx, o.remote, aPrincipal, o.principal)
		if err != nil {
			return err
		}
		body["principal"] = id
	}
	l, err := send[struct {
		Path    string    `json:"path"`
		Expires time.Time `json:"expires"`
	}](ctx, o.remote, "POST /sign-in-links", body)
	if err != nil {
		return err
	}
	if o.Format == terminal.JSON {
		return o.WriteJSON(map[string]any{"url": o.URL() + l.Value.Path, "expires": l.Value.Expires})
	}
	fmt.Fprintf(o.Err, "good once, until %s\n", terminal.Moment(l.Value.Expires))
	fmt.Fprintln(o.Out, o.URL()+l.Value.Path)
	return nil
}
