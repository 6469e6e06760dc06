package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

func lineageCommand() *cobra.Command {
	c := group("lineage", "Lineages: certificates that are looked after, each line serving one purpose", certificateGroup,
		lineageListCommand(), lineageShowCommand(), lineageAdoptCommand(), lineageCreateCommand(), lineageSetCommand(),
		lineageRenewCommand(), lineageDeployCommand(), lineageDeleteCommand())
	c.Aliases = []string{"lineages"}
	return c
}

// lineage is what the verbs read of one.
type lineage struct {
	ID        string              `json:"id"`
	Name      string              `json:"name"`
	Owner     string              `json:"owner"`
	Profile   string              `json:"profile"`
	Authority string              `json:"authority"`
	Names     map[string][]string `json:"names"`
	Key       string              `json:"key"`
	Keep      struct {
		Vault string `json:"vault"`
		Name  string `json:"name"`
	} `json:"keep"`
	Rule struct {
		DaysBefore int `json:"daysBefore"`
		Percent    int `json:"percent"`
	} `json:"rule"`
	Paused  bool `json:"paused"`
	Targets []struct {
		ID         string         `json:"id"`
		Connection string         `json:"connection"`
		Place      map[string]any `json:"place"`
		Endpoints  []struct {
			Host string `json:"host"`
			IP   string `json:"ip"`
			Port int    `json:"port"`
			SNI  string `json:"sni"`
		} `json:"endpoints"`
	} `json:"targets"`
	Current struct {
		SHA256   string    `json:"sha256"`
		NotAfter time.Time `json:"notAfter"`
		Version  string    `json:"version"`
	} `json:"current"`
	Due      time.Time `json:"due"`
	Problem  string    `json:"problem"`
	Revision int64     `json:"revision"`
}

type lineageListOptions struct {
	remote
	listing
	owner string
}

func lineageListCommand() *cobra.Command {
	var o lineageListOptions
	c := o.command("list", "List lineages", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runLineageList(ctx, o) })
	o.flags(c)
	c.Flags().StringVar(&o.owner, "owner", "", "of this owner alone")
	return c
}

func runLineageList(ctx context.Context, o lineageListOptions) error {
	now := time.Now()
	return list(ctx, o.remote, o.listing, "GET /lineages", url.Values{"owner": {o.owner}}, []terminal.Column[lineage]{
		{Name: "name", Of: func(l lineage) string { return l.Name }},
		{Name: "owner", Of: func(l lineage) string { return l.Owner }},
		{Name: "profile", Of: func(l lineage) string { return l.Profile }},
		{Name: "certificate", Of: func(l lineage) string { return terminal.Short(l.Current.SHA256) }},
		{Name: "expires", Of: func(l lineage) string { return terminal.Day(now, l.Current.NotAfter) }},
		{Name: "renews", Of: func(l lineage) string { return l.renews(now) }},
		{Name: "targets", Of: func(l lineage) string { return fmt.Sprint(len(l.Targets)) }},
		{Name: "problem", Of: func(l lineage) string { return l.Problem }},
	})
}

func (l lineage) renews(now time.Time) string {
	switch {
	case l.Paused:
		return "paused"
	case l.Due.IsZero():
		return "by hand"
	}
	return terminal.Day(now, l.Due)
}

func lineageFields(now time.Time, next string) []terminal.Column[lineage] {
	return []terminal.Column[lineage]{
		{Name: "lineage", Of: func(l lineage) string { return l.Name }},
		{Name: "id", Of: func(l lineage) string { return l.ID }},
		{Name: "owner", Of: func(l lineage) string { return l.Owner }},
		{Name: "profile", Of: func(l lineage) string { return l.Profile }},
		{Name: "authority", Of: func(l lineage) string { return l.Authority }},
		{Name: "names", Of: func(l lineage) string {
			var all []string
			for _, kind := range []string{"dns", "ip", "email", "uri"} {
				all = append(all, l.Names[kind]...)
			}
			return strings.Join(all, ", ")
		}},
		{Name: "key", Of: func(l lineage) string { return l.Key }},
		{Name: "kept in", Of: func(l lineage) string { return l.Keep.Vault + "/" + l.Keep.Name }},
		{Name: "certificate", Of: func(l lineage) string { return l.Current.SHA256 }},
		{Name: "valid until", Of: func(l lineage) string { return terminal.Day(now, l.Current.NotAfter) }},
		{Name: "renews", Of: func(l lineage) string { return l.renews(now) }},
		{Name: "next", Of: func(lineage) string { return next }},
		{Name: "targets", Of: func(l lineage) string {
			var lines []string
			for _, t := range l.Targets {
				place, err := json.Marshal(t.Place)
				if err != nil {
					place = nil
				}
				line := fmt.Sprintf("%s on %s: %s", t.ID, t.Connection, place)
				for _, e := range t.Endpoints {
					line += " → " + installation{Host: e.Host, IP: e.IP, Port: e.Port, SNI: e.SNI}.place()
				}
				lines = append(lines, line)
			}
			return strings.Join(lines, "\n")
		}},
		{Name: "problem", Of: func(l lineage) string { return l.Problem }},
	}
}

type lineageOptions struct {
	remote
	lineage string
}

// verb is a verb that names one lineage.
func (o *lineageOptions) verb(use, short string, run func(ctx context.Context) error) *cobra.Command {
	c := o.command(use+" LINEAGE", short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		id, err := idOf(ctx, o.remote, aLineage, args[0])
		if err != nil {
			return err
		}
		o.lineage = id
		return run(ctx)
	})
	c.ValidArgsFunction = completeNames(&o.remote, aLineage)
	return c
}

func lineageShowCommand() *cobra.Command {
	var o lineageOptions
	return o.verb("show", "Show a lineage and what happens next", func(ctx context.Context) error { return runLineageShow(ctx, o) })
}

func runLineageShow(ctx context.Context, o lineageOptions) error {
	l, err := get[lineage](ctx, o.remote, at("GET /lineages/%s", o.lineage))
	if err != nil {
		return err
	}
	return showLineage(ctx, o.remote, l)
}

func showLineage(ctx context.Context, r remote, l client.Object[lineage]) error {
	next, err := get[struct {
		Text string `json:"text"`
	}](ctx, r, at("GET /lineages/%s/next", l.Value.ID))
	if err != nil {
		return err
	}
	return show(r, l, lineageFields(time.Now(), next.Value.Text))
}

type lineageRenewOptions struct {
	lineageOptions
	watching
	comment string
}

func lineageRenewCommand() *cobra.Command {
	var o lineageRenewOptions
	c := o.verb("renew", "Ask for the next certificate of a lineage, or its first", func(ctx context.Context) error { return runLineageRenew(ctx, o) })
	c.Flags().StringVar(&o.comment, "comment", "", "why, for who approves and for the record")
	o.watching.flags(c)
	return c
}

func runLineageRenew(ctx context.Context, o lineageRenewOptions) error {
	return ask(ctx, o.remote, o.watching, "POST /requests", map[string]any{"lineage": o.lineage, "comment": o.comment})
}

type lineageDeployOptions struct {
	lineageOptions
	target string
}

func lineageDeployCommand() *cobra.Command {
	var o lineageDeployOptions
	c := o.verb("deploy", "Install the current certificate at a target once more", func(ctx context.Context) error { return runLineageDeploy(ctx, o) })
	c.Flags().StringVar(&o.target, "target", "target-1", "id of the target, as \"lineage show\" names it")
	return c
}

func runLineageDeploy(ctx context.Context, o lineageDeployOptions) error {
	d, err := send[deployment](ctx, o.remote, at("POST /lineages/%s/targets/%s/deploy", o.lineage, o.target), nil)
	if err != nil {
		return err
	}
	err = poll(ctx, o.remote, "deployment "+d.Value.ID, func(ctx context.Context, p *terminal.Progress) (bool, error) {
		now, err := get[deployment](ctx, o.remote, at("GET /deployments/%s", d.Value.ID))
		if err != nil {
			return false, err
		}
		d = now
		p.Set(0, 0, d.Value.Stage)
		return d.Value.State != "running" && d.Value.State != "rollingBack", nil
	})
	if err != nil {
		return err
	}
	if err := show(o.remote, d, []terminal.Column[deployment]{
		{Name: "deployment", Of: func(d deployment) string { return d.ID }},
		{Name: "state", Of: func(d deployment) string { return d.State }},
		{Name: "stage", Of: func(d deployment) string { return d.Stage }},
		{Name: "problem", Of: func(d deployment) string { return d.Problem }},
	}); err != nil {
		return err
	}
	if d.Value.State != "completed" {
		return fmt.Errorf("the deployment is %s: %s", d.Value.State, d.Value.Problem)
	}
	return nil
}

// deployment is what the verbs read of one.
type deployment struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Stage   string `json:"stage"`
	Problem string `json:"problem"`
}

func lineageDeleteCommand() *cobra.Command {
	var o lineageOptions
	return o.verb("delete", "End the management of a lineage; its certificates stay where they are", func(ctx context.Context) error { return runLineageDelete(ctx, o) })
}

func runLineageDelete(ctx context.Context, o lineageOptions) error {
	return o.Do(ctx, at("DELETE /lineages/%s", o.lineage), nil, nil, nil)
}
