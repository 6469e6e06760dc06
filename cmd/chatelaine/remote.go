package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

// remote is what every verb has that calls the server.
type remote struct {
	*client.Client
	terminal.Terminal
}

// command makes a verb that calls the server, as the environment names it.
func (r *remote) command(use, short string, args cobra.PositionalArgs, run func(ctx context.Context, args []string) error) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Out, r.Err = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if err := r.connect(); err != nil {
				return err
			}
			return run(cmd.Context(), args)
		},
	}
	r.formatFlag(c)
	return c
}

// formatFlag adds -o to a verb.
func (r *remote) formatFlag(c *cobra.Command) {
	r.Format = terminal.Table
	c.Flags().VarP(&r.Format, "output", "o", "table or json")
	complete(c, "output", string(terminal.Table), string(terminal.JSON))
}

func (r *remote) connect() (err error) {
	config := client.FromEnvironment(os.Getenv)
	config.Agent = "chatelaine/" + version()
	r.Client, err = client.New(config)
	return err
}

// complete offers fixed words for a flag.
func complete(c *cobra.Command, flag string, words ...string) {
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // a flag that this file has just defined
	}
}

// group is a noun: a command that only holds verbs.
func group(use, short, id string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, GroupID: id, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	c.AddCommand(verbs...)
	return c
}

// listing bounds what a list shows.
type listing struct {
	limit int
	// counts is the operation that tells how many there are; empty where none does.
	counts string
}

func (l *listing) flags(c *cobra.Command) {
	c.Flags().IntVar(&l.limit, "limit", 500, "how many at most; 0 for all")
}

// list prints what a list operation has.
func list[T any](ctx context.Context, r remote, l listing, route string, query url.Values, columns []terminal.Column[T]) error {
	q := url.Values{}
	for name, values := range query {
		if len(values) > 0 && values[0] != "" {
			q[name] = values
		}
	}
	q.Set("limit", "500")
	if l.limit > 0 && l.limit < 500 {
		q.Set("limit", fmt.Sprint(l.limit))
	}
	found := []client.Object[T]{}
	cut := false
	for o, err := range client.All[T](ctx, r.Client, route, q) {
		if err != nil {
			return err
		}
		if cut = l.limit > 0 && len(found) == l.limit; cut {
			break
		}
		found = append(found, o)
	}
	if cut {
		total, err := l.total(ctx, r, query)
		if err != nil {
			return err
		}
		fmt.Fprintf(r.Err, "only the first %d of %s; --limit 0 shows all\n", l.limit, total)
	}
	if r.Format == terminal.JSON {
		return r.WriteJSON(found)
	}
	values := make([]T, len(found))
	for i, o := range found {
		values[i] = o.Value
	}
	terminal.Rows(r.Terminal, values, columns)
	return nil
}

// total is how many there are, as far as that is known.
func (l listing) total(ctx context.Context, r remote, query url.Values) (string, error) {
	if l.counts == "" {
		return "more", nil
	}
	var n struct {
		Count int64 `json:"count"`
	}
	err := r.Do(ctx, l.counts, url.Values{"filter": query["filter"]}, nil, &n)
	return fmt.Sprint(n.Count), err
}

// get calls an operation without a body.
func get[T any](ctx context.Context, r remote, route string) (client.Object[T], error) {
	return send[T](ctx, r, route, nil)
}

// send calls an operation with a body; nil for none.
func send[T any](ctx context.Context, r remote, route string, body any) (client.Object[T], error) {
	var o client.Object[T]
	err := r.Do(ctx, route, nil, body, &o)
	return o, err
}

// show prints one object.
func show[T any](r remote, o client.Object[T], fields []terminal.Column[T]) error {
	if r.Format == terminal.JSON {
		return r.WriteJSON(o)
	}
	terminal.Fields(r.Terminal, o.Value, fields)
	return nil
}

// at escapes what a user typed for use in a path.
func at(route string, args ...any) string {
	for i, a := range args {
		args[i] = strings.ReplaceAll(url.PathEscape(fmt.Sprint(a)), ".", "%2E") // dots alone would climb
	}
	return fmt.Sprintf(route, args...)
}

// named is something that people call by its name and programs by its id.
type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// noun is what can be found by name.
type noun string

// The nouns.
const (
	aCampaign     noun = "campaign"
	aConnection   noun = "connection"
	aLineage      noun = "lineage"
	aPrincipal    noun = "principal"
	aProfile      noun = "profile"
	aSubscription noun = "subscription"
	aVault        noun = "vault"
)

func (n noun) route() string { return "GET /" + string(n) + "s" }

// verb lists them.
func (n noun) verb() string {
	if n == aPrincipal {
		return "access principals"
	}
	return string(n) + " list"
}

// idOf finds the id of the one that has the id or, in any case, the name.
func idOf(ctx context.Context, r remote, n noun, text string) (string, error) {
	var ids []string
	for o, err := range client.All[named](ctx, r.Client, n.route(), nil) {
		if err != nil {
			return "", err
		}
		if o.Value.ID == text {
			return text, nil
		}
		if strings.EqualFold(o.Value.Name, text) {
			ids = append(ids, o.Value.ID)
		}
	}
	switch len(ids) {
	case 0:
		return "", fmt.Errorf("there is no %s %q; \"chatelaine %s\" shows what there is", n, text, n.verb())
	case 1:
		return ids[0], nil
	}
	return "", fmt.Errorf("%d of this name: use the id, one of %s", len(ids), strings.Join(ids, ", "))
}

// completeNames offers the names that there are for the first argument.
func completeNames(r *remote, n noun) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
		defer cancel()
		var names []string
		if len(args) > 0 || r.connect() != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		for o, err := range client.All[named](ctx, r.Client, n.route(), nil) {
			if err != nil || len(names) == 500 {
				break
			}
			names = append(names, o.Value.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag offers the names of a list for a flag.
func completeFlag(c *cobra.Command, r *remote, flag string, n noun) {
	names := completeNames(r, n)
	if err := c.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, text string) ([]string, cobra.ShellCompDirective) {
		return names(cmd, nil, text)
	}); err != nil {
		panic(err) // a flag that has just been defined
	}
}

// poll calls look about once a second until it says that it is over, and shows what it
// says meanwhile. A server that is away for a moment is waited for.
func poll(ctx context.Context, r remote, what string, look func(ctx context.Context, p *terminal.Progress) (over bool, err error)) error {
	if !terminal.IsTerminal(r.Err) {
		fmt.Fprintf(r.Err, "waiting for %s\n", what)
	}
	p := terminal.NewProgress(r.Err, "")
	defer p.Stop()
	away := 0
	for pause := 200 * time.Millisecond; ; pause = min(pause*3/2, time.Second) {
		over, err := look(ctx, p)
		switch {
		case ctx.Err() != nil:
			return errors.Join(errInterrupted, ctx.Err())
		case err == nil:
			away = 0
		case client.Passing(err) && away < 60:
			away++
			p.Set(0, 0, "the server is away")
		default:
			return err
		}
		if over {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(errInterrupted, ctx.Err())
		}
	}
}

// errInterrupted says that only the waiting has ended.
var errInterrupted = errors.New("interrupted; the work goes on at the server")
