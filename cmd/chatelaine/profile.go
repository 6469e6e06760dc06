package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

func profileCommand() *cobra.Command {
	c := group("profile", "Profiles: what a certificate may look like, and which CA issues it", authorityGroup,
		profileListCommand(), profileShowCommand(), profileCreateCommand(), profileCopyCommand(), profileUpdateCommand(), profileDeleteCommand(), profileCheckCommand())
	c.Aliases = []string{"profiles"}
	return c
}

// profile is what the verbs read of one.
type profile struct {
	Name             string   `json:"name"`
	Title            string   `json:"title"`
	Authorities      []string `json:"authorities"`
	Approval         bool     `json:"approval"`
	Keys             []string `json:"keys"`
	ExtendedKeyUsage []string `json:"extendedKeyUsage"`
	Validity         struct {
		Default string `json:"default"`
		Max     string `json:"max"`
	} `json:"validity"`
	Doors map[string]any `json:"doors"`
}

func profileColumns() []terminal.Column[profile] {
	return []terminal.Column[profile]{
		{Name: "name", Of: func(p profile) string { return p.Name }},
		{Name: "title", Of: func(p profile) string { return p.Title }},
		{Name: "authorities", Of: func(p profile) string { return strings.Join(p.Authorities, ", ") }},
		{Name: "keys", Of: func(p profile) string { return strings.Join(p.Keys, ", ") }},
		{Name: "valid for", Of: func(p profile) string { return p.Validity.Default + ", at most " + p.Validity.Max }},
		{Name: "approval", Of: func(p profile) string { return yes(p.Approval) }},
	}
}

// profileEntry is a profile with what is kept about it.
type profileEntry struct {
	Profile  json.RawMessage `json:"profile"`
	BuiltIn  bool            `json:"builtIn"`
	Revision int64           `json:"revision"`
	Updated  time.Time       `json:"updated"`
	Updater  string          `json:"updater"`
	Findings []struct {
		Shape string `json:"shape"`
		Why   string `json:"why"`
	} `json:"findings"`
}

func (e profileEntry) profile() (p profile) {
	_ = json.Unmarshal(e.Profile, &p) // what the server sent is at worst shown empty
	return p
}

func (e profileEntry) findings() string {
	lines := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		lines[i] = f.Shape + ": " + f.Why
	}
	return strings.Join(lines, "\n")
}

type profileListOptions struct {
	remote
	listing
}

func profileListCommand() *cobra.Command {
	var o profileListOptions
	c := o.command("list", "List profiles", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runProfileList(ctx, o) })
	o.flags(c)
	return c
}

func runProfileList(ctx context.Context, o profileListOptions) error {
	return list(ctx, o.remote, o.listing, "GET /profiles", nil, profileColumns())
}

type profileOptions struct {
	remote
	profile string
}

// verb is a verb that names one profile first.
func (o *profileOptions) verb(use, short string, args cobra.PositionalArgs, run func(ctx context.Context, args []string) error) *cobra.Command {
	c := o.command(use, short, args, func(ctx context.Context, args []string) error {
		o.profile = args[0]
		return run(ctx, args[1:])
	})
	c.ValidArgsFunction = completeNames(&o.remote, aProfile)
	return c
}

func profileShowCommand() *cobra.Command {
	var o profileOptions
	c := o.verb("show PROFILE", "Show a profile, and the ways in which it can be abused", cobra.ExactArgs(1),
		func(ctx context.Context, _ []string) error { return runProfileShow(ctx, o) })
	c.Example = `  chatelaine profile show tls-server
  chatelaine profile show tls-server -o json | jq .profile > shop.json`
	return c
}

func runProfileShow(ctx context.Context, o profileOptions) error {
	e, err := get[profileEntry](ctx, o.remote, at("GET /profiles/%s", o.profile))
	if err != nil {
		return err
	}
	return showProfile(o.remote, e)
}

func showProfile(r remote, e client.Object[profileEntry]) error {
	fields := []terminal.Column[profileEntry]{}
	for _, c := range profileColumns() {
		fields = append(fields, terminal.Column[profileEntry]{Name: c.Name, Of: func(e profileEntry) string { return c.Of(e.profile()) }})
	}
	return show(r, e, append(fields,
		terminal.Column[profileEntry]{Name: "purposes", Of: func(e profileEntry) string { return strings.Join(e.profile().ExtendedKeyUsage, ", ") }},
		terminal.Column[profileEntry]{Name: "doors", Of: func(e profileEntry) string { return strings.Join(slices.Sorted(maps.Keys(e.profile().Doors)), ", ") }},
		terminal.Column[profileEntry]{Name: "changed", Of: func(e profileEntry) string {
			if e.BuiltIn {
				return "never: it comes with the product; copy it to change the copy"
			}
			return fmt.Sprintf("%s, revision %d", terminal.Moment(e.Updated), e.Revision)
		}},
		terminal.Column[profileEntry]{Name: "findings", Of: profileEntry.findings}))
}

func profileCreateCommand() *cobra.Command {
	var o profileOptions
	var c *cobra.Command
	c = o.command("create FILE", "Make a profile from a file in JSON; - is standard input", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return runProfileCreate(ctx, o, c.InOrStdin(), args[0])
	})
	return c
}

func runProfileCreate(ctx context.Context, o profileOptions, stdin io.Reader, file string) error {
	text, err := readJSON(stdin, file)
	if err != nil {
		return err
	}
	e, err := send[profileEntry](ctx, o.remote, "POST /profiles", map[string]any{"profile": text})
	if err != nil {
		return err
	}
	return showProfile(o.remote, e)
}

// readJSON reads a file that holds one value.
func readJSON(stdin io.Reader, file string) (json.RawMessage, error) {
	text, err := readInput(stdin, file)
	if err == nil && !json.Valid(text) {
		err = fmt.Errorf("%s is not JSON", file)
	}
	return text, err
}

func profileCopyCommand() *cobra.Command {
	var o profileOptions
	return o.verb("copy PROFILE NAME", "Make a profile like another", cobra.ExactArgs(2),
		func(ctx context.Context, args []string) error { return runProfileCopy(ctx, o, args[0]) })
}

func runProfileCopy(ctx context.Context, o profileOptions, name string) error {
	e, err := send[profileEntry](ctx, o.remote, at("POST /profiles/%s/copy", o.profile), map[string]any{"name": name})
	if err != nil {
		return err
	}
	return showProfile(o.remote, e)
}

type profileUpdateOptions struct {
	profileOptions
	revision int64
}

func profileUpdateCommand() *cobra.Command {
	var o profileUpdateOptions
	var c *cobra.Command
	c = o.verb("update PROFILE FILE", "Replace a profile by a file in JSON; - is standard input", cobra.ExactArgs(2),
		func(ctx context.Context, args []string) error {
			return runProfileUpdate(ctx, o, c.InOrStdin(), args[0])
		})
	c.Long = "Replace a profile by a file in JSON. What is issued from then on follows it, at every node within\na second."
	c.Example = `  chatelaine profile show shop -o json | jq '.profile | .validity.default = "30d"' | chatelaine profile update shop -`
	c.Flags().Int64Var(&o.revision, "revision", 0, "refuse when the profile is no longer at this revision (default: the one it has now)")
	return c
}

func runProfileUpdate(ctx context.Context, o profileUpdateOptions, stdin io.Reader, file string) error {
	text, err := readJSON(stdin, file)
	if err != nil {
		return err
	}
	if o.revision == 0 {
		now, err := get[profileEntry](ctx, o.remote, at("GET /profiles/%s", o.profile))
		if err != nil {
			return err
		}
		o.revision = max(now.Value.Revision, 1) // a built-in one has none: the server says that it stays
	}
	e, err := send[profileEntry](ctx, o.remote, at("PUT /profiles/%s", o.profile), map[string]any{"profile": text, "revision": o.revision})
	if err != nil {
		return err
	}
	return showProfile(o.remote, e)
}

func profileDeleteCommand() *cobra.Command {
	var o profileOptions
	return o.verb("delete PROFILE", "Delete a profile; what was issued by it stays", cobra.ExactArgs(1), func(ctx context.Context, _ []string) error {
		return o.Do(ctx, at("DELETE /profiles/%s", o.profile), nil, nil, nil)
	})
}

func profileCheckCommand() *cobra.Command {
	var o profileOptions
	c := o.command("check", "List the ways in which profiles can be abused; ends with an error when there are any", cobra.NoArgs,
		func(ctx context.Context, _ []string) error { return runProfileCheck(ctx, o) })
	return c
}

// profileFinding is a line of "profile check".
type profileFinding struct {
	Profile string `json:"profile"`
	Shape   string `json:"shape"`
	Why     string `json:"why"`
}

func runProfileCheck(ctx context.Context, o profileOptions) error {
	found := []profileFinding{}
	for p, err := range client.All[profile](ctx, o.Client, "GET /profiles", nil) {
		if err != nil {
			return err
		}
		e, err := get[profileEntry](ctx, o.remote, at("GET /profiles/%s", p.Value.Name))
		if err != nil {
			return err
		}
		for _, f := range e.Value.Findings {
			found = append(found, profileFinding{p.Value.Name, f.Shape, f.Why})
		}
	}
	if o.Format == terminal.JSON {
		if err := o.WriteJSON(found); err != nil {
			return err
		}
	} else {
		terminal.Rows(o.Terminal, found, []terminal.Column[profileFinding]{
			{Name: "profile", Of: func(f profileFinding) string { return f.Profile }},
			{Name: "shape", Of: func(f profileFinding) string { return f.Shape }},
			{Name: "why", Of: func(f profileFinding) string { return f.Why }},
		})
	}
	if len(found) > 0 {
		return fmt.Errorf("%d ways in which a profile can be abused", len(found))
	}
	return nil
}
