package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
)

func passcodeCommand() *cobra.Command {
	c := group("passcode", "One-time passwords by which machines enrol, by EST and SCEP", governGroup,
		passcodeListCommand(), passcodeCreateCommand(), passcodeDeleteCommand())
	c.Aliases = []string{"passcodes"}
	return c
}

// passcode is what the verbs read of one.
type passcode struct {
	ID       string    `json:"id"`
	Door     string    `json:"door"`
	Profile  string    `json:"profile"`
	Names    []string  `json:"names"`
	Comment  string    `json:"comment"`
	Expires  time.Time `json:"expires"`
	Spent    time.Time `json:"spent"`
	Password string    `json:"password"`
}

func (p passcode) state() string {
	switch {
	case !p.Spent.IsZero():
		return "used " + terminal.Moment(p.Spent)
	case time.Now().After(p.Expires):
		return "expired"
	}
	return "until " + terminal.Moment(p.Expires)
}

func passcodeColumns() []terminal.Column[passcode] {
	return []terminal.Column[passcode]{
		{Name: "id", Of: func(p passcode) string { return p.ID }},
		{Name: "door", Of: func(p passcode) string { return p.Door }},
		{Name: "profile", Of: func(p passcode) string { return p.Profile }},
		{Name: "names", Of: func(p passcode) string { return strings.Join(p.Names, ", ") }},
		{Name: "state", Of: passcode.state},
		{Name: "comment", Of: func(p passcode) string { return p.Comment }},
	}
}

type passcodeOptions struct {
	remote
	listing
	door, profile, passcode, comment string
	names                            []string
	hours                            int
}

func passcodeListCommand() *cobra.Command {
	var o passcodeOptions
	c := o.command("list", "List one-time passwords, newest first", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runPasscodeList(ctx, o) })
	o.flags(c)
	return c
}

func runPasscodeList(ctx context.Context, o passcodeOptions) error {
	return list(ctx, o.remote, o.listing, "GET /passcodes", nil, passcodeColumns())
}

func passcodeCreateCommand() *cobra.Command {
	var o passcodeOptions
	c := o.command("create DOOR PROFILE NAME...", "Make a one-time password for one certificate", cobra.MinimumNArgs(3), func(ctx context.Context, args []string) error {
		o.door, o.profile, o.names = args[0], args[1], args[2:]
		return runPasscodeCreate(ctx, o)
	})
	c.Long = "Make a one-time password for one certificate: DOOR is est or scep. A NAME is one that may be asked for,\n*.example.com for every one below it, a network, or * for all that the door allows."
	c.Example = `  chatelaine passcode create est tls-server printer.internal --hours 72
  curl -u device:PASSWORD --data-binary @csr https://vault.example.com/.well-known/est/tls-server/simpleenroll`
	f := c.Flags()
	f.IntVar(&o.hours, "hours", 24, "for how long it is good")
	f.StringVar(&o.comment, "comment", "", "what it is for")
	return c
}

func runPasscodeCreate(ctx context.Context, o passcodeOptions) error {
	p, err := send[passcode](ctx, o.remote, "POST /passcodes", map[string]any{
		"door": o.door, "profile": o.profile, "names": o.names, "hours": o.hours, "comment": o.comment,
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(o.Err, "the password is shown this once; give it to the machine that enrols")
	return show(o.remote, p, append(passcodeColumns(), terminal.Column[passcode]{Name: "password", Of: func(p passcode) string { return p.Password }}))
}

func passcodeDeleteCommand() *cobra.Command {
	var o passcodeOptions
	return o.command("delete PASSCODE", "Take a one-time password back, by its id", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.passcode = args[0]
		return runPasscodeDelete(ctx, o)
	})
}

func runPasscodeDelete(ctx context.Context, o passcodeOptions) error {
	return o.Do(ctx, at("DELETE /passcodes/%s", o.passcode), nil, nil, nil)
}
