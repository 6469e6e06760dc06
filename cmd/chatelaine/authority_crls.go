package main

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

type authorityCRLsOptions struct {
	remote
	authority string
	publish   bool
	parts     int
}

// publication is how the lists of an authority stand.
type publication struct {
	Lists []crl `json:"lists"`
}

type crl struct {
	Part       string    `json:"part"`
	Number     int64     `json:"number"`
	Base       int64     `json:"base"`
	Entries    int       `json:"entries"`
	ThisUpdate time.Time `json:"thisUpdate"`
	NextUpdate time.Time `json:"nextUpdate"`
}

func authorityCRLsCommand() *cobra.Command {
	var o authorityCRLsOptions
	c := o.command("crls AUTHORITY", "Show the CRLs of an authority, publish them, or have them published in parts", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			o.authority = args[0]
			return runAuthorityCRLs(ctx, o)
		})
	c.Flags().BoolVar(&o.publish, "publish", false, "publish them now")
	c.Flags().IntVar(&o.parts, "partitions", 0, "publish the list in so many parts, too; new certificates name theirs. The number only grows")
	c.MarkFlagsMutuallyExclusive("publish", "partitions")
	return c
}

func runAuthorityCRLs(ctx context.Context, o authorityCRLsOptions) error {
	var p client.Object[publication]
	var err error
	switch {
	case o.parts > 0:
		p, err = send[publication](ctx, o.remote, at(http.MethodPut+" /authorities/%s/crls/partitions", o.authority), map[string]any{"partitions": o.parts})
	case o.publish:
		p, err = send[publication](ctx, o.remote, at(http.MethodPost+" /authorities/%s/crls/publish", o.authority), nil)
	default:
		p, err = get[publication](ctx, o.remote, at("GET /authorities/%s/crls", o.authority))
	}
	if err != nil {
		return err
	}
	if o.Format == terminal.JSON {
		return o.WriteJSON(p)
	}
	terminal.Rows(o.Terminal, p.Value.Lists, []terminal.Column[crl]{
		{Name: "list", Of: func(l crl) string {
			if l.Part == "" {
				return "whole"
			}
			return l.Part
		}},
		{Name: "number", Of: func(l crl) string { return strconv.FormatInt(l.Number, 10) }},
		{Name: "entries", Of: func(l crl) string { return strconv.Itoa(l.Entries) }},
		{Name: "published", Of: func(l crl) string { return terminal.Moment(l.ThisUpdate) }},
		{Name: "ends", Of: func(l crl) string { return terminal.Moment(l.NextUpdate) }},
	})
	return nil
}
