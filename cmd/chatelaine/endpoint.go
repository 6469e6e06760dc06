package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
)

func endpointCommand() *cobra.Command {
	c := group("endpoint", "Places with the latest certificate known there", findGroup, endpointListCommand())
	c.Aliases = []string{"endpoints"}
	return c
}

// installation is a certificate at a place.
type installation struct {
	SHA256  string    `json:"sha256"`
	Source  string    `json:"source"`
	Host    string    `json:"host"`
	IP      string    `json:"ip"`
	Port    int       `json:"port"`
	SNI     string    `json:"sni"`
	Path    string    `json:"path"`
	State   string    `json:"state"`
	Checked time.Time `json:"checked"`
	Problem string    `json:"problem"`
	TLS     struct {
		Version string `json:"version"`
	} `json:"tls"`
}

// place is where it is, for people.
func (i installation) place() string {
	if i.Path != "" {
		return i.Path
	}
	where := net.JoinHostPort(i.IP, strconv.Itoa(i.Port))
	if i.Host != "" {
		where = fmt.Sprintf("%s:%d at %s", i.Host, i.Port, i.IP)
	}
	if i.SNI != "" && i.SNI != i.Host {
		where += " as " + i.SNI
	}
	return where
}

type endpointListOptions struct {
	remote
	listing
	source string
}

func endpointListCommand() *cobra.Command {
	var o endpointListOptions
	c := o.command("list", "List endpoints", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runEndpointList(ctx, o) })
	o.flags(c)
	c.Flags().StringVar(&o.source, "source", "", "network, or the id of a connection (default: all)")
	return c
}

func runEndpointList(ctx context.Context, o endpointListOptions) error {
	now := time.Now()
	return list(ctx, o.remote, o.listing, "GET /endpoints", url.Values{"source": {o.source}}, []terminal.Column[installation]{
		{Name: "place", Of: installation.place},
		{Name: "certificate", Of: func(i installation) string { return terminal.Short(i.SHA256) }},
		{Name: "state", Of: func(i installation) string { return i.State }},
		{Name: "tls", Of: func(i installation) string { return i.TLS.Version }},
		{Name: "checked", Of: func(i installation) string { return terminal.Distance(now, i.Checked) }},
		{Name: "problem", Of: func(i installation) string { return i.Problem }},
	})
}
