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

func requestCommand() *cobra.Command {
	c := group("request", "Requests: what was asked for, who agreed, how far it has come", certificateGroup,
		requestListCommand(), requestShowCommand(),
		requestVerb("approve", "Agree to a request; never to your own", true),
		requestVerb("deny", "Decline a request", true),
		requestVerb("cancel", "Give a request up", false),
		requestVerb("retry", "Try a failed request again from the step that failed", false))
	c.Aliases = []string{"requests"}
	return c
}

// request is what the verbs read of one.
type request struct {
	ID            string `json:"id"`
	Kind          string `json:"kind"`
	Lineage       string `json:"lineage"`
	State         string `json:"state"`
	Step          string `json:"step"`
	RequesterName string `json:"requesterName"`
	Comment       string `json:"comment"`
	NeedsApproval bool   `json:"needsApproval"`
	Decisions     []struct {
		Name     string    `json:"name"`
		Approved bool      `json:"approved"`
		Comment  string    `json:"comment"`
		At       time.Time `json:"at"`
	} `json:"decisions"`
	Wanted struct {
		Name string `json:"name"`
	} `json:"wanted"`
	Revoke string `json:"revoke"`
	Result struct {
		SHA256   string    `json:"sha256"`
		NotAfter time.Time `json:"notAfter"`
	} `json:"result"`
	Attempts int       `json:"attempts"`
	Problem  string    `json:"problem"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
}

func (r request) live() bool {
	return r.State == "pending" || r.State == "approved" || r.State == "in_progress"
}

// line is what it does now.
func (r request) line() string {
	switch {
	case r.State == "pending":
		return "waits for an approval"
	case r.Problem != "":
		return fmt.Sprintf("%s waits after %s: %s", r.Step, terminal.Plural(r.Attempts, "try"), r.Problem)
	case r.State == "approved":
		return "begins"
	}
	return r.Step
}

type requestListOptions struct {
	remote
	listing
	state, kind, lineage string
}

func requestListCommand() *cobra.Command {
	var o requestListOptions
	c := o.command("list", "List requests, newest first", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runRequestList(ctx, o) })
	o.flags(c)
	states := []string{"pending", "approved", "in_progress", "completed", "failed", "denied", "canceled", "expired"}
	c.Flags().StringVar(&o.state, "state", "", strings.Join(states, ", "))
	c.Flags().StringVar(&o.kind, "kind", "", "enroll, renew, revoke, certify or direct")
	c.Flags().StringVar(&o.lineage, "lineage", "", "name or id of a lineage")
	complete(c, "state", states...)
	complete(c, "kind", "enroll", "renew", "revoke", "certify", "direct")
	return c
}

func runRequestList(ctx context.Context, o requestListOptions) error {
	if o.lineage != "" {
		var err error
		if o.lineage, err = idOf(ctx, o.remote, aLineage, o.lineage); err != nil {
			return err
		}
	}
	now := time.Now()
	return list(ctx, o.remote, o.listing, "GET /requests", url.Values{"state": {o.state}, "kind": {o.kind}, "lineage": {o.lineage}}, []terminal.Column[request]{
		{Name: "id", Of: func(r request) string { return r.ID }},
		{Name: "kind", Of: func(r request) string { return r.Kind }},
		{Name: "for", Of: func(r request) string { return r.Wanted.Name }},
		{Name: "state", Of: func(r request) string { return r.State }},
		{Name: "step", Of: func(r request) string { return r.Step }},
		{Name: "by", Of: func(r request) string { return r.RequesterName }},
		{Name: "created", Of: func(r request) string { return terminal.Distance(now, r.Created) }},
		{Name: "problem", Of: func(r request) string { return r.Problem }},
	})
}

func requestFields() []terminal.Column[request] {
	return []terminal.Column[request]{
		{Name: "request", Of: func(r request) string { return r.ID }},
		{Name: "kind", Of: func(r request) string { return r.Kind }},
		{Name: "for", Of: func(r request) string { return r.Wanted.Name }},
		{Name: "lineage", Of: func(r request) string { return r.Lineage }},
		{Name: "revokes", Of: func(r request) string { return r.Revoke }},
		{Name: "state", Of: func(r request) string { return r.State }},
		{Name: "step", Of: func(r request) string { return r.Step }},
		{Name: "by", Of: func(r request) string { return r.RequesterName + " at " + terminal.Moment(r.Created) }},
		{Name: "comment", Of: func(r request) string { return r.Comment }},
		{Name: "decisions", Of: func(r request) string {
			var lines []string
			for _, d := range r.Decisions {
				verb := "denied"
				if d.Approved {
					verb = "approved"
				}
				lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s by %s at %s %s", verb, d.Name, terminal.Moment(d.At), d.Comment)))
			}
			return strings.Join(lines, "\n")
		}},
		{Name: "certificate", Of: func(r request) string { return r.Result.SHA256 }},
		{Name: "problem", Of: func(r request) string { return r.Problem }},
	}
}

// watching is the choice to wait for the end of a request.
type watching struct{ watch bool }

func (w *watching) flags(c *cobra.Command) {
	c.Flags().BoolVarP(&w.watch, "watch", "w", false, "wait until it is over, and fail if it fails")
}

type requestShowOptions struct {
	remote
	watching
	request string
}

func requestShowCommand() *cobra.Command {
	var o requestShowOptions
	c := o.command("show REQUEST", "Show a request", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.request = args[0]
		return runRequestShow(ctx, o)
	})
	o.watching.flags(c)
	return c
}

func runRequestShow(ctx context.Context, o requestShowOptions) error {
	r, err := get[request](ctx, o.remote, at("GET /requests/%s", o.request))
	if err != nil {
		return err
	}
	return follow(ctx, o.remote, o.watching, r)
}

// ask makes a request of something, and follows it if that is wanted.
func ask(ctx context.Context, r remote, w watching, route string, body any) error {
	made, err := send[request](ctx, r, route, body)
	if err != nil {
		return err
	}
	return follow(ctx, r, w, made)
}

// follow shows a request, after its end if that is to be waited for.
func follow(ctx context.Context, r remote, w watching, x client.Object[request]) error {
	if w.watch && x.Value.live() {
		err := poll(ctx, r, "request "+x.Value.ID, func(ctx context.Context, p *terminal.Progress) (bool, error) {
			now, err := get[request](ctx, r, at("GET /requests/%s", x.Value.ID))
			if err != nil {
				return false, err
			}
			x = now
			p.Set(0, 0, x.Value.line())
			return !x.Value.live(), nil
		})
		if errors.Is(err, errInterrupted) {
			fmt.Fprintf(r.Err, "look again with: chatelaine request show %s --watch\n", x.Value.ID)
		}
		if err != nil {
			return err
		}
	}
	if err := show(r, x, requestFields()); err != nil {
		return err
	}
	if w.watch && x.Value.State != "completed" {
		return fmt.Errorf("the request %s is %s: %s", x.Value.ID, x.Value.State, x.Value.Problem)
	}
	return nil
}

type requestVerbOptions struct {
	remote
	watching
	request, verb, comment string
}

// requestVerb is a decision about a request.
func requestVerb(verb, short string, comments bool) *cobra.Command {
	var o requestVerbOptions
	c := o.command(verb+" REQUEST", short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.request, o.verb = args[0], verb
		return runRequestVerb(ctx, o)
	})
	if comments {
		c.Flags().StringVar(&o.comment, "comment", "", "why, for the requester and the record")
	}
	if verb == "approve" || verb == "retry" {
		o.watching.flags(c)
	}
	return c
}

func runRequestVerb(ctx context.Context, o requestVerbOptions) error {
	var body any
	if o.comment != "" {
		body = map[string]any{"comment": o.comment}
	}
	return ask(ctx, o.remote, o.watching, at("POST /requests/%s/%s", o.request, o.verb), body)
}
