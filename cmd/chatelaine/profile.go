package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
)

func profileCommand() *cobra.Command {
	c := group("profile", "Profiles: what a certificate may look like, and which CA issues it", authorityGroup, profileListCommand())
	c.Aliases = []string{"profiles"}
	return c
}

// profile is what the verbs read of one.
type profile struct {
	Name        string   `json:"name"`
	Title       string   `json:"title"`
	Authorities []string `json:"authorities"`
	Approval    bool     `json:"approval"`
	Keys        []string `json:"keys"`
	Validity    struct {
		Default string `json:"default"`
		Max     string `json:"max"`
	} `json:"validity"`
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
	return list(ctx, o.remote, o.listing, "GET /profiles", nil, []terminal.Column[profile]{
		{Name: "name", Of: func(p profile) string { return p.Name }},
		{Name: "title", Of: func(p profile) string { return p.Title }},
		{Name: "authorities", Of: func(p profile) string { return strings.Join(p.Authorities, ", ") }},
		{Name: "keys", Of: func(p profile) string { return strings.Join(p.Keys, ", ") }},
		{Name: "valid for", Of: func(p profile) string { return p.Validity.Default + ", at most " + p.Validity.Max }},
		{Name: "approval", Of: func(p profile) string { return yes(p.Approval) }},
	})
}
