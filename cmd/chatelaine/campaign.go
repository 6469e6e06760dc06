package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

func campaignCommand() *cobra.Command {
	c := group("campaign", "Campaigns: what the server discovers, and how often", findGroup,
		campaignListCommand(), campaignShowCommand(), campaignCreateCommand(), campaignRunCommand(), campaignDeleteCommand())
	c.Aliases = []string{"campaigns"}
	return c
}

// campaign is what the verbs read of one.
type campaign struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Targets    []string  `json:"targets"`
	Ports      string    `json:"ports"`
	Exclude    []string  `json:"exclude"`
	Connection string    `json:"connection"`
	Interval   int64     `json:"interval"`
	Enabled    bool      `json:"enabled"`
	Next       time.Time `json:"next"`
}

func (c campaign) where() string {
	if c.Connection != "" {
		return "connection " + c.Connection
	}
	if len(c.Targets) > 3 {
		return strings.Join(c.Targets[:3], ", ") + fmt.Sprintf(" and %d more", len(c.Targets)-3)
	}
	return strings.Join(c.Targets, ", ")
}

func (c campaign) often() string {
	switch {
	case c.Interval == 0:
		return "by hand"
	case !c.Enabled:
		return "switched off"
	}
	return "every " + terminal.Span(time.Duration(c.Interval)*time.Second)
}

// run is one execution of a campaign.
type run struct {
	ID          string    `json:"id"`
	State       string    `json:"state"`
	Queued      time.Time `json:"queued"`
	Started     time.Time `json:"started"`
	Finished    time.Time `json:"finished"`
	Total       int       `json:"total"`
	Done        int       `json:"done"`
	Found       int       `json:"found"`
	New         int       `json:"new"`
	Changed     int       `json:"changed"`
	Unreachable int       `json:"unreachable"`
	Problem     string    `json:"problem"`
}

func (r run) over() bool {
	return r.State == "completed" || r.State == "failed" || r.State == "canceled"
}

func campaignColumns(now time.Time) []terminal.Column[campaign] {
	return []terminal.Column[campaign]{
		{Name: "name", Of: func(c campaign) string { return c.Name }},
		{Name: "looks at", Of: campaign.where},
		{Name: "runs", Of: campaign.often},
		{Name: "next", Of: func(c campaign) string {
			switch {
			case c.Next.IsZero():
				return ""
			case c.Next.Before(now):
				return "within a minute"
			}
			return terminal.Distance(now, c.Next)
		}},
		{Name: "id", Of: func(c campaign) string { return c.ID }},
	}
}

func runColumns() []terminal.Column[run] {
	return []terminal.Column[run]{
		{Name: "run", Of: func(r run) string { return r.ID }},
		{Name: "state", Of: func(r run) string { return r.State }},
		{Name: "queued", Of: func(r run) string { return terminal.Moment(r.Queued) }},
		{Name: "probes", Of: func(r run) string { return fmt.Sprintf("%d of %d", r.Done, r.Total) }},
		{Name: "found", Of: func(r run) string { return fmt.Sprint(r.Found) }},
		{Name: "new", Of: func(r run) string { return fmt.Sprint(r.New) }},
		{Name: "changed", Of: func(r run) string { return fmt.Sprint(r.Changed) }},
		{Name: "problem", Of: func(r run) string { return r.Problem }},
	}
}

type campaignListOptions struct {
	remote
	listing
}

func campaignListCommand() *cobra.Command {
	var o campaignListOptions
	c := o.command("list", "List campaigns", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runCampaignList(ctx, o) })
	o.flags(c)
	return c
}

func runCampaignList(ctx context.Context, o campaignListOptions) error {
	return list(ctx, o.remote, o.listing, "GET /campaigns", nil, campaignColumns(time.Now()))
}

type campaignOptions struct {
	remote
	campaign string
}

// campaignVerb is a verb that names one campaign.
func (o *campaignOptions) verb(use, short string, run func(ctx context.Context) error) *cobra.Command {
	c := o.command(use+" CAMPAIGN", short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		id, err := idOf(ctx, o.remote, aCampaign, args[0])
		if err != nil {
			return err
		}
		o.campaign = id
		return run(ctx)
	})
	c.ValidArgsFunction = completeNames(&o.remote, aCampaign)
	return c
}

func campaignShowCommand() *cobra.Command {
	var o campaignOptions
	return o.verb("show", "Show a campaign and its latest runs", func(ctx context.Context) error { return runCampaignShow(ctx, o) })
}

func runCampaignShow(ctx context.Context, o campaignOptions) error {
	c, err := get[campaign](ctx, o.remote, at("GET /campaigns/%s", o.campaign))
	if err != nil {
		return err
	}
	if err := show(o.remote, c, campaignColumns(time.Now())); err != nil || o.Format == terminal.JSON {
		return err
	}
	fmt.Fprintln(o.Out)
	return list(ctx, o.remote, listing{limit: 10}, "GET /runs", url.Values{"campaign": {o.campaign}}, runColumns())
}

type campaignCreateOptions struct {
	remote
	name, ports, connection string
	targets, exclude        []string
	every                   days
	versions                bool
}

func campaignCreateCommand() *cobra.Command {
	var o campaignCreateOptions
	c := o.command("create NAME [TARGET…]", "Make a campaign", cobra.MinimumNArgs(1), func(ctx context.Context, args []string) error {
		o.name, o.targets = args[0], args[1:]
		return runCampaignCreate(ctx, o)
	})
	c.Example = `  chatelaine campaign create office 10.1.0.0/24 intranet.example:443,8443 --every 1d
  chatelaine campaign create cloud --connection "Azure payroll"`
	f := c.Flags()
	f.StringVar(&o.ports, "ports", "", "ports of targets without their own, such as 443,9000-9010 (default: where TLS is spoken from the first byte)")
	f.StringSliceVar(&o.exclude, "exclude", nil, "names, addresses and networks that are left out")
	f.StringVar(&o.connection, "connection", "", "instead of targets: name or id of a connection that is a source")
	completeFlag(c, &o.remote, "connection", aConnection)
	f.Var(&o.every, "every", "how often it runs by itself, such as 6h or 1d (default: by hand only)")
	f.BoolVar(&o.versions, "versions", false, "find out every TLS version that is accepted")
	return c
}

func runCampaignCreate(ctx context.Context, o campaignCreateOptions) error {
	draft := map[string]any{"name": o.name, "ports": o.ports, "versions": o.versions}
	if o.connection != "" {
		id, err := idOf(ctx, o.remote, aConnection, o.connection)
		if err != nil {
			return err
		}
		draft["connection"] = id
	}
	if len(o.targets) > 0 {
		draft["targets"] = o.targets
	}
	if len(o.exclude) > 0 {
		draft["exclude"] = o.exclude
	}
	if o.every > 0 {
		draft["interval"], draft["enabled"] = int64(time.Duration(o.every)/time.Second), true
	}
	c, err := send[campaign](ctx, o.remote, "POST /campaigns", draft)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Err, "created campaign %s; run it now with: chatelaine campaign run %q\n", c.Value.Name, c.Value.Name)
	return show(o.remote, c, campaignColumns(time.Now()))
}

type campaignRunOptions struct {
	campaignOptions
	detach bool
}

func campaignRunCommand() *cobra.Command {
	var o campaignRunOptions
	c := o.verb("run", "Run a campaign now, and show its progress until it is over", func(ctx context.Context) error { return runCampaignRun(ctx, o) })
	c.Long = "Run a campaign now, and show its progress until it is over. Interrupting ends the waiting\nalone; the run goes on at the server."
	c.Flags().BoolVarP(&o.detach, "detach", "d", false, "do not wait")
	return c
}

func runCampaignRun(ctx context.Context, o campaignRunOptions) error {
	r, err := send[run](ctx, o.remote, at("POST /campaigns/%s/runs", o.campaign), nil)
	if client.HasCode(err, "RunUnderWay") && !o.detach {
		fmt.Fprintln(o.Err, "a run of this campaign is under way already; this is its progress")
		r, err = latestRun(ctx, o.remote, o.campaign)
	}
	if err != nil || o.detach {
		if err != nil {
			return err
		}
		return show(o.remote, r, runColumns())
	}
	err = poll(ctx, o.remote, "run "+r.Value.ID, func(ctx context.Context, p *terminal.Progress) (bool, error) {
		now, err := get[run](ctx, o.remote, at("GET /runs/%s", r.Value.ID))
		if err != nil {
			return false, err
		}
		r = now
		p.Set(r.Value.Done, r.Value.Total, fmt.Sprintf("%s, %d found, %d new", r.Value.State, r.Value.Found, r.Value.New))
		return r.Value.over(), nil
	})
	if errors.Is(err, errInterrupted) {
		fmt.Fprintf(o.Err, "see how it goes with: chatelaine campaign show %s\n", o.campaign)
	}
	if err != nil {
		return err
	}
	if err := show(o.remote, r, runColumns()); err != nil {
		return err
	}
	if r.Value.State != "completed" {
		return fmt.Errorf("the run is %s: %s", r.Value.State, r.Value.Problem)
	}
	return nil
}

func latestRun(ctx context.Context, r remote, campaign string) (client.Object[run], error) {
	for o, err := range client.All[run](ctx, r.Client, "GET /runs", url.Values{"campaign": {campaign}, "limit": {"1"}}) {
		return o, err
	}
	return client.Object[run]{}, errors.New("the run ended a moment ago")
}

func campaignDeleteCommand() *cobra.Command {
	var o campaignOptions
	return o.verb("delete", "Delete a campaign and its runs; what it found stays", func(ctx context.Context) error { return runCampaignDelete(ctx, o) })
}

func runCampaignDelete(ctx context.Context, o campaignOptions) error {
	return o.Do(ctx, at("DELETE /campaigns/%s", o.campaign), nil, nil, nil)
}
