package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
)

// acmeWindow is what the verbs read of a window.
type acmeWindow struct {
	ID          string    `json:"id"`
	Profile     string    `json:"profile"`
	Owner       string    `json:"owner"`
	Account     string    `json:"account"`
	Name        string    `json:"name"`
	Issuer      string    `json:"issuer"`
	SHA256      string    `json:"sha256"`
	Start       time.Time `json:"start"`
	End         time.Time `json:"end"`
	Explanation string    `json:"explanation"`
}

// covers says which certificates are meant.
func (w acmeWindow) covers() string {
	var all []string
	for _, c := range [][2]string{{"profile", w.Profile}, {"owner", w.Owner}, {"account", w.Account}, {"name", w.Name}, {"issuer", w.Issuer}, {"certificate", w.SHA256}} {
		if c[1] != "" {
			all = append(all, c[0]+" "+c[1])
		}
	}
	if len(all) == 0 {
		return "everything"
	}
	return strings.Join(all, ", ")
}

func acmeWindowColumns() []terminal.Column[acmeWindow] {
	return []terminal.Column[acmeWindow]{
		{Name: "id", Of: func(w acmeWindow) string { return w.ID }},
		{Name: "from", Of: func(w acmeWindow) string { return terminal.Moment(w.Start) }},
		{Name: "until", Of: func(w acmeWindow) string { return terminal.Moment(w.End) }},
		{Name: "covers", Of: acmeWindow.covers},
		{Name: "explanation", Of: func(w acmeWindow) string { return w.Explanation }},
	}
}

type acmeWindowOptions struct {
	remote
	listing
	window, start, end string
	acmeWindow
}

func acmeWindowListCommand() *cobra.Command {
	var o acmeWindowOptions
	c := o.command("list", "List windows", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runACMEWindowList(ctx, o) })
	o.flags(c)
	return c
}

func runACMEWindowList(ctx context.Context, o acmeWindowOptions) error {
	return list(ctx, o.remote, o.listing, "GET /acme/windows", nil, acmeWindowColumns())
}

func acmeWindowCreateCommand() *cobra.Command {
	var o acmeWindowOptions
	c := o.command("create", "Have ACME clients renew what was issued until now", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runACMEWindowCreate(ctx, o) })
	c.Example = `  chatelaine acme window create --until 2026-12-04T18:00:00Z --profile tls-server --explanation https://wiki.example.com/why
  chatelaine acme window create --until 24h --name '*.shop.example.com'`
	f := c.Flags()
	f.StringVar(&o.end, "until", "", "by when: a time such as 2026-12-04T18:00:00Z, or from now, such as 48h")
	f.StringVar(&o.start, "from", "", "from when, likewise (default: now)")
	f.StringVar(&o.Profile, "profile", "", "certificates of a profile")
	f.StringVar(&o.Owner, "owner", "", "certificates of an owner")
	f.StringVar(&o.Account, "account", "", "certificates of an account")
	f.StringVar(&o.Name, "name", "", "certificates with a name, or with one below *.example.com")
	f.StringVar(&o.Issuer, "issuer", "", "certificates whose chain holds the certificate with this SHA-256")
	f.StringVar(&o.SHA256, "certificate", "", "the certificate with this SHA-256")
	f.StringVar(&o.Explanation, "explanation", "", "address of a page that tells people why")
	completeFlag(c, &o.remote, "profile", aProfile)
	if err := c.MarkFlagRequired("until"); err != nil {
		panic(err) // it was defined above
	}
	return c
}

// when reads a time, or a time from now.
func when(text string) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%q is no time: write 2026-12-04T18:00:00Z, or from now, such as 48h", text)
	}
	return t, nil
}

func runACMEWindowCreate(ctx context.Context, o acmeWindowOptions) error {
	end, err := when(o.end)
	if err != nil {
		return err
	}
	draft := map[string]any{
		"end": end, "profile": o.Profile, "owner": o.Owner, "account": o.Account, "name": o.Name, "issuer": o.Issuer, "sha256": o.SHA256, "explanation": o.Explanation,
	}
	if o.start != "" {
		if draft["start"], err = when(o.start); err != nil {
			return err
		}
	}
	w, err := send[acmeWindow](ctx, o.remote, "POST /acme/windows", draft)
	if err != nil {
		return err
	}
	return show(o.remote, w, acmeWindowColumns())
}

func acmeWindowDeleteCommand() *cobra.Command {
	var o acmeWindowOptions
	return o.command("delete WINDOW", "Delete a window: clients renew when they would have", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.window = args[0]
		return runACMEWindowDelete(ctx, o)
	})
}

func runACMEWindowDelete(ctx context.Context, o acmeWindowOptions) error {
	return o.Do(ctx, at("DELETE /acme/windows/%s", o.window), nil, nil, nil)
}
