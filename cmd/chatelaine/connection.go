package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

func connectionCommand() *cobra.Command {
	c := group("connection", "Connections: configured instances of connectors", certificateGroup,
		connectionListCommand(), connectionShowCommand(), connectionCreateCommand(), connectionTestCommand(), connectionDeleteCommand(), connectionKindsCommand())
	c.Aliases = []string{"connections"}
	return c
}

// connection is what the verbs read of one.
type connection struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Connector string         `json:"connector"`
	Kinds     []string       `json:"kinds"`
	Settings  map[string]any `json:"settings"`
	Secrets   []string       `json:"secrets"`
	Checked   time.Time      `json:"checked"`
	Problem   string         `json:"problem"`
}

func (c connection) works() string {
	switch {
	case c.Problem != "":
		return "no: " + c.Problem
	case c.Checked.IsZero():
		return "not tested"
	}
	return "yes, on " + terminal.Moment(c.Checked)
}

func connectionColumns() []terminal.Column[connection] {
	return []terminal.Column[connection]{
		{Name: "name", Of: func(c connection) string { return c.Name }},
		{Name: "connector", Of: func(c connection) string { return c.Connector }},
		{Name: "is a", Of: func(c connection) string { return strings.Join(c.Kinds, ", ") }},
		{Name: "works", Of: connection.works},
		{Name: "id", Of: func(c connection) string { return c.ID }},
	}
}

type connectionListOptions struct {
	remote
	listing
}

func connectionListCommand() *cobra.Command {
	var o connectionListOptions
	c := o.command("list", "List connections", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runConnectionList(ctx, o) })
	o.flags(c)
	return c
}

func runConnectionList(ctx context.Context, o connectionListOptions) error {
	return list(ctx, o.remote, o.listing, "GET /connections", nil, connectionColumns())
}

func connectionKindsCommand() *cobra.Command {
	var o connectionListOptions
	return o.command("kinds [CONNECTOR]", "List the connectors, or the settings of one", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		if len(args) == 0 {
			return runConnectionKinds(ctx, o)
		}
		return runConnectionKind(ctx, o, args[0])
	})
}

func runConnectionKinds(ctx context.Context, o connectionListOptions) error {
	return list(ctx, o.remote, listing{}, "GET /connectors", nil, []terminal.Column[connector]{
		{Name: "connector", Of: func(c connector) string { return c.Name }},
		{Name: "title", Of: func(c connector) string { return c.Title }},
		{Name: "offers", Of: func(c connector) string { return strings.Join(c.Kinds, ", ") }},
	})
}

func runConnectionKind(ctx context.Context, o connectionListOptions, name string) error {
	c, err := findConnector(ctx, o.remote, name)
	if err != nil {
		return err
	}
	if o.Format == terminal.JSON {
		return o.WriteJSON(c)
	}
	fmt.Fprintf(o.Out, "%s: %s\n\n", c.Value.Title, strings.Join(c.Value.Kinds, ", "))
	terminal.Rows(o.Terminal, c.Value.Settings.rows(), settingColumns("setting"))
	if c.Value.Place != nil {
		fmt.Fprintln(o.Out)
		terminal.Rows(o.Terminal, c.Value.Place.rows(), settingColumns("place"))
	}
	return nil
}

type connectionOptions struct {
	remote
	connection string
}

// verb is a verb that names one connection.
func (o *connectionOptions) verb(use, short string, run func(ctx context.Context) error) *cobra.Command {
	c := o.command(use+" CONNECTION", short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		id, err := idOf(ctx, o.remote, aConnection, args[0])
		if err != nil {
			return err
		}
		o.connection = id
		return run(ctx)
	})
	c.ValidArgsFunction = completeNames(&o.remote, aConnection)
	return c
}

func connectionShowCommand() *cobra.Command {
	var o connectionOptions
	return o.verb("show", "Show a connection without its secrets", func(ctx context.Context) error { return runConnectionShow(ctx, o) })
}

func runConnectionShow(ctx context.Context, o connectionOptions) error {
	c, err := get[connection](ctx, o.remote, at("GET /connections/%s", o.connection))
	if err != nil {
		return err
	}
	return showConnection(o.remote, c)
}

func showConnection(r remote, c client.Object[connection]) error {
	return show(r, c, append(connectionColumns(),
		terminal.Column[connection]{Name: "settings", Of: func(c connection) string { return settingLines(c.Settings) }},
		terminal.Column[connection]{Name: "secrets set", Of: func(c connection) string { return strings.Join(c.Secrets, ", ") }}))
}

func connectionTestCommand() *cobra.Command {
	var o connectionOptions
	return o.verb("test", "Try whether a connection works", func(ctx context.Context) error { return runConnectionTest(ctx, o) })
}

func runConnectionTest(ctx context.Context, o connectionOptions) error {
	c, err := send[connection](ctx, o.remote, at("POST /connections/%s/test", o.connection), nil)
	if err != nil {
		return err
	}
	if err := showConnection(o.remote, c); err != nil {
		return err
	}
	if c.Value.Problem != "" {
		return fmt.Errorf("connection %s does not work: %s", c.Value.Name, c.Value.Problem)
	}
	return nil
}

func connectionDeleteCommand() *cobra.Command {
	var o connectionOptions
	return o.verb("delete", "Delete a connection that no lineage uses", func(ctx context.Context) error { return runConnectionDelete(ctx, o) })
}

func runConnectionDelete(ctx context.Context, o connectionOptions) error {
	return o.Do(ctx, at("DELETE /connections/%s", o.connection), nil, nil, nil)
}

type connectionCreateOptions struct {
	remote
	settingFlags
	name, connector string
	untested        bool
}

func connectionCreateCommand() *cobra.Command {
	var o connectionCreateOptions
	c := o.command("create NAME", "Make a connection, and try whether it works", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.name = args[0]
		return runConnectionCreate(ctx, o)
	})
	c.Example = `  chatelaine connection kinds files
  chatelaine connection create nginx --connector files --set roots=/etc/nginx/tls \
    --set check='["/usr/sbin/nginx","-t"]' --set reload='["/usr/sbin/nginx","-s","reload"]'
  chatelaine connection create payroll --connector azurekeyvault --set url=https://payroll.vault.azure.net \
    --set tenant=… --set clientId=… --set-env clientSecret=PAYROLL_SECRET`
	c.Flags().StringVar(&o.connector, "connector", "", "name of the connector; \"chatelaine connection kinds\" shows each")
	c.Flags().BoolVar(&o.untested, "no-test", false, "do not try it")
	o.define(c)
	if err := c.MarkFlagRequired("connector"); err != nil {
		panic(err) // a flag that was just defined
	}
	return c
}

func runConnectionCreate(ctx context.Context, o connectionCreateOptions) error {
	kind, err := findConnector(ctx, o.remote, o.connector)
	if err != nil {
		return err
	}
	settings, err := o.settings(kind.Value.Settings)
	if err != nil {
		return err
	}
	c, err := send[connection](ctx, o.remote, "POST /connections", map[string]any{"name": o.name, "connector": o.connector, "settings": settings})
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Err, "created connection %s\n", c.Value.Name)
	if o.untested {
		return showConnection(o.remote, c)
	}
	return runConnectionTest(ctx, connectionOptions{o.remote, c.Value.ID})
}
