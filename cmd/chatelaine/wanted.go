package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chatelaine.dev/internal/client"
)

// wanted are the flags that say what a lineage shall be. What was not given is not
// changed.
type wanted struct {
	from                                        string
	name, owner, profile, authority, commonName string
	key, validity, keep, connection, target     string
	names, ips, place, endpoints                []string
	daysBefore, percent                         int
	paused                                      bool
	flags                                       *pflag.FlagSet
	in                                          io.Reader
}

func (w *wanted) define(c *cobra.Command, r *remote) {
	w.flags, w.in = c.Flags(), c.InOrStdin()
	f := w.flags
	f.StringVar(&w.from, "from", "", "JSON file with everything, as \"lineage show -o json\" prints it; - for standard input")
	f.StringVar(&w.name, "name", "", "for people; unique")
	f.StringVar(&w.owner, "owner", "", "team or person who answers for it")
	f.StringVar(&w.profile, "profile", "tls-server", "what each certificate may look like")
	f.StringVar(&w.authority, "authority", "", "who issues (default: the profile's first)")
	f.StringVar(&w.commonName, "common-name", "", "common name, where the profile wants one")
	f.StringSliceVar(&w.names, "dns", nil, "DNS names")
	f.StringSliceVar(&w.ips, "ip", nil, "IP addresses")
	f.StringVar(&w.key, "key", "", "P-256, P-384, RSA 2048… (default: as the certificate before, else P-256)")
	f.StringVar(&w.validity, "validity", "", "for how long each is valid, such as 90d (default: as the profile says)")
	f.StringVar(&w.keep, "keep", "", "VAULT/NAME: the certificate of a vault in which each becomes a version (default: default/ and a name made of the lineage's)")
	f.IntVar(&w.daysBefore, "renew-days-before", 0, "renew so many days before the end")
	f.IntVar(&w.percent, "renew-at-percent", 0, "renew when so much of the life is over (default: two thirds)")
	f.BoolVar(&w.paused, "paused", false, "do not renew by itself")
	f.StringVar(&w.connection, "connection", "", "name or id of the connection on which it is installed")
	f.StringArrayVar(&w.place, "place", nil, "SETTING=VALUE: where on the target; may be repeated")
	f.StringSliceVar(&w.endpoints, "endpoint", nil, "HOST:PORT that must serve it once it is installed, HOST:PORT=NAME to ask for a name")
	f.StringVar(&w.target, "target", "target-1", "id of the target that --connection, --place and --endpoint describe")
	completeFlag(c, r, "profile", aProfile)
	completeFlag(c, r, "connection", aConnection)
}

// given reports whether the user wrote the flag.
func (w *wanted) given(flag string) bool { return w.flags.Changed(flag) }

// fields are those of the API, as far as they were given. kept is what the lineage has
// now; empty for a new one.
func (w *wanted) fields(ctx context.Context, r remote, kept map[string]any) (map[string]any, error) {
	all := map[string]any{}
	if w.from != "" {
		b, err := readInput(w.in, w.from)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, &kept); err != nil {
			return nil, fmt.Errorf("%s: %w", w.from, err)
		}
	}
	for _, name := range []string{"name", "owner", "profile", "authority", "commonName", "names", "key", "validity", "keep", "rule", "paused", "targets"} {
		if v, ok := kept[name]; ok {
			all[name] = v
		}
	}
	for flag, set := range map[string]struct {
		name  string
		value any
	}{
		"name": {"name", w.name}, "owner": {"owner", w.owner}, "profile": {"profile", w.profile}, "authority": {"authority", w.authority},
		"common-name": {"commonName", w.commonName}, "key": {"key", w.key}, "validity": {"validity", w.validity}, "paused": {"paused", w.paused},
	} {
		if w.given(flag) || flag == "profile" && all["profile"] == nil {
			all[set.name] = set.value
		}
	}
	if w.given("dns") || w.given("ip") {
		all["names"] = map[string]any{"dns": w.names, "ip": w.ips}
	}
	if w.given("renew-days-before") || w.given("renew-at-percent") {
		all["rule"] = map[string]any{"daysBefore": w.daysBefore, "percent": w.percent}
	}
	if w.given("keep") {
		vault, name, ok := strings.Cut(w.keep, "/")
		if !ok {
			return nil, fmt.Errorf("--keep %q: want VAULT/NAME", w.keep)
		}
		all["keep"] = map[string]any{"vault": vault, "name": name}
	}
	if w.connection != "" || len(w.place) > 0 || len(w.endpoints) > 0 {
		return all, w.setTarget(ctx, r, all)
	}
	return all, nil
}

// setTarget changes one target, or adds it.
func (w *wanted) setTarget(ctx context.Context, r remote, all map[string]any) error {
	targets, _ := all["targets"].([]any)
	target := map[string]any{"id": w.target}
	found := false
	for _, t := range targets {
		if m, ok := t.(map[string]any); ok && m["id"] == w.target {
			target, found = m, true
		}
	}
	if !found {
		targets = append(targets, target)
	}
	all["targets"] = targets
	if w.connection != "" {
		id, err := idOf(ctx, r, aConnection, w.connection)
		if err != nil {
			return err
		}
		target["connection"] = id
	}
	if len(w.place) > 0 {
		id, ok := target["connection"].(string)
		if !ok {
			return fmt.Errorf("--place needs --connection: the connection on which the certificate is installed")
		}
		schema, err := placeSchema(ctx, r, id)
		if err != nil {
			return err
		}
		if target["place"], err = schema.values(w.place); err != nil {
			return err
		}
	}
	if len(w.endpoints) > 0 {
		var endpoints []any
		for _, e := range w.endpoints {
			endpoint, err := parseEndpoint(e)
			if err != nil {
				return err
			}
			endpoints = append(endpoints, endpoint)
		}
		target["endpoints"] = endpoints
	}
	return nil
}

// parseEndpoint reads HOST:PORT, with =NAME behind it for the name to ask for. Without
// one, the name is the host if that is a name.
func parseEndpoint(text string) (map[string]any, error) {
	address, sni, _ := strings.Cut(text, "=")
	host, portText, err := net.SplitHostPort(address)
	port, portErr := strconv.ParseUint(portText, 10, 16)
	if err != nil || portErr != nil || port == 0 {
		return nil, fmt.Errorf("endpoint %q: want HOST:PORT or HOST:PORT=NAME, such as shop.example.com:443", text)
	}
	e := map[string]any{"port": port}
	if _, err := netip.ParseAddr(host); err == nil {
		e["ip"] = host
	} else if e["host"] = host; sni == "" {
		sni = host
	}
	if sni != "" {
		e["sni"] = sni
	}
	return e, nil
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9]+`)

// keepDefault is where the certificates of a new lineage are kept when nobody says it.
func keepDefault(fields map[string]any, name string) {
	if fields["keep"] == nil {
		made := strings.Trim(notInName.ReplaceAllString(name, "-"), "-")
		fields["keep"] = map[string]any{"vault": "default", "name": made[:min(len(made), 100)]}
	}
}

// fresh sets the fields that a new lineage needs.
func (w *wanted) fresh(ctx context.Context, r remote, name string) (map[string]any, error) {
	fields, err := w.fields(ctx, r, map[string]any{})
	if err != nil {
		return nil, err
	}
	if given, ok := fields["name"].(string); ok && given != "" {
		name = given
	}
	keepDefault(fields, name)
	return fields, nil
}

type adoptOptions struct {
	remote
	wanted
	certificate string
}

func certificateAdoptCommand() *cobra.Command { return adoptCommand() }

func lineageAdoptCommand() *cobra.Command { return adoptCommand() }

func adoptCommand() *cobra.Command {
	var o adoptOptions
	c := o.command("adopt CERTIFICATE", "Take a certificate of the inventory under management: the first of a lineage", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			o.certificate = args[0]
			return runAdopt(ctx, o)
		})
	c.Long = `Take a certificate of the inventory under management: the first of a lineage. Names and key
are those of the certificate unless you say otherwise, and the places where it is served now
are those that must serve the next one.`
	c.Example = `  chatelaine certificate adopt shop.example.com --owner web --connection nginx \
    --place fullchain=/etc/nginx/tls/shop.pem --place key=/etc/nginx/tls/shop.key`
	o.define(c, &o.remote)
	return c
}

func runAdopt(ctx context.Context, o adoptOptions) error {
	sha256, err := fingerprintOf(ctx, o.remote, o.certificate)
	if err != nil {
		return err
	}
	found, err := get[certificate](ctx, o.remote, at("GET /certificates/%s", sha256))
	if err != nil {
		return err
	}
	fields, err := o.fresh(ctx, o.remote, found.Value.Name)
	if err != nil {
		return err
	}
	l, err := send[lineage](ctx, o.remote, at("POST /certificates/%s/adopt", sha256), fields)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Err, "adopted; renew it now with: chatelaine lineage renew %q --watch\n", l.Value.Name)
	return showLineage(ctx, o.remote, l)
}

type lineageCreateOptions struct {
	remote
	wanted
}

func lineageCreateCommand() *cobra.Command {
	var o lineageCreateOptions
	c := o.command("create NAME", "Make a lineage that has no certificate yet", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.name = args[0]
		return runLineageCreate(ctx, o)
	})
	o.define(c, &o.remote)
	return c
}

func runLineageCreate(ctx context.Context, o lineageCreateOptions) error {
	fields, err := o.fresh(ctx, o.remote, o.name)
	if err != nil {
		return err
	}
	fields["name"] = o.name
	l, err := send[lineage](ctx, o.remote, "POST /lineages", fields)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Err, "created; ask for its first certificate with: chatelaine lineage renew %q --watch\n", l.Value.Name)
	return showLineage(ctx, o.remote, l)
}

type lineageSetOptions struct {
	lineageOptions
	wanted
}

func lineageSetCommand() *cobra.Command {
	var o lineageSetOptions
	c := o.verb("set", "Change what a lineage wants and where it is installed", func(ctx context.Context) error { return runLineageSet(ctx, o) })
	o.define(c, &o.remote)
	return c
}

func runLineageSet(ctx context.Context, o lineageSetOptions) error {
	var before client.Object[map[string]any]
	if err := o.Do(ctx, at("GET /lineages/%s", o.lineage), nil, nil, &before); err != nil {
		return err
	}
	fields, err := o.fields(ctx, o.remote, before.Value)
	if err != nil {
		return err
	}
	fields["revision"] = before.Value["revision"]
	l, err := send[lineage](ctx, o.remote, at("PUT /lineages/%s", o.lineage), fields)
	if err != nil {
		return err
	}
	return showLineage(ctx, o.remote, l)
}
