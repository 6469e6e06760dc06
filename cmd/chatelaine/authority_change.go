package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

// limitFlags are the limits of an authority.
type limitFlags struct {
	pathLength          int
	permitted, excluded []string
}

func (l *limitFlags) flags(c *cobra.Command) {
	f := c.Flags()
	f.IntVar(&l.pathLength, "path-length", -1, "authorities on a way down from this one (default: any number below a root, none below others)")
	f.StringSliceVar(&l.permitted, "permit", nil, "names that may be certified below: dns:example.com, ip:10.0.0.0/8, email:example.com, uri:.example.com")
	f.StringSliceVar(&l.excluded, "exclude", nil, "names that may not, written the same way")
}

// body adds the limits to what is sent.
func (l limitFlags) body(to map[string]any) error {
	if l.pathLength >= 0 {
		to["pathLength"] = l.pathLength
	}
	for field, list := range map[string][]string{"permitted": l.permitted, "excluded": l.excluded} {
		names, err := constraints(list)
		if err != nil {
			return err
		}
		if len(names) > 0 {
			to[field] = names
		}
	}
	return nil
}

// constraints sorts kind:name by kind. What is plainly a network or a name needs no kind.
func constraints(list []string) (map[string][]string, error) {
	names := map[string][]string{}
	for _, text := range list {
		kind, name, ok := strings.Cut(text, ":")
		if _, err := netip.ParsePrefix(text); err == nil {
			kind, name, ok = "ip", text, true
		}
		if !ok {
			kind, name = "dns", text
		}
		switch kind {
		case "dns", "ip", "email", "uri":
			names[kind] = append(names[kind], name)
		default:
			return nil, fmt.Errorf("%q: want dns:NAME, ip:NETWORK, email:NAME or uri:NAME", text)
		}
	}
	return names, nil
}

type authorityCreateOptions struct {
	authorityOptions
	limitFlags
	parent, name, organization, key string
	valid                           days
	external, existing              bool
}

func (o *authorityCreateOptions) nameFlags(c *cobra.Command, key string) {
	f := c.Flags()
	f.StringVar(&o.name, "name", "", "common name")
	f.StringVar(&o.organization, "organization", "", "organization")
	f.StringVar(&o.key, "key", key, "P-256, P-384, P-521, RSA 2048, RSA 3072, RSA 4096, Ed25519, ML-DSA-44, ML-DSA-65 or ML-DSA-87; for a root also SLH-DSA-SHA2-128s, -128f, -192s, -256s, SLH-DSA-SHAKE-128s, -192s or -256s")
	complete(c, "key", "P-256", "P-384", "P-521", "RSA 2048", "RSA 3072", "RSA 4096", "Ed25519", "ML-DSA-44", "ML-DSA-65", "ML-DSA-87",
		"SLH-DSA-SHA2-128s", "SLH-DSA-SHA2-128f", "SLH-DSA-SHA2-192s", "SLH-DSA-SHA2-256s", "SLH-DSA-SHAKE-128s", "SLH-DSA-SHAKE-192s", "SLH-DSA-SHAKE-256s")
	f.Var(&o.valid, "valid", "how long, such as 3650d")
}

func (o *authorityCreateOptions) body() (map[string]any, error) {
	body := map[string]any{"id": o.authority}
	for field, value := range map[string]string{"parent": o.parent, "commonName": o.name, "organization": o.organization, "key": o.key} {
		if value != "" {
			body[field] = value
		}
	}
	if o.valid > 0 {
		body["validityDays"] = int(time.Duration(o.valid).Hours() / 24)
	}
	return body, o.limitFlags.body(body)
}

func authorityCreateCommand() *cobra.Command {
	var o authorityCreateOptions
	c := o.command("create ID", "Make an authority: a root, one below another, or one that somebody else certifies", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			o.authority = args[0]
			return runAuthorityCreate(ctx, o)
		})
	c.Example = `  chatelaine authority create shops --parent root --name "Shops CA" --valid 1825d --permit dns:shops.example.com
  chatelaine authority create pq-root --name "Root 2026" --key ML-DSA-87 --valid 7300d
  chatelaine authority create bought --external --name "Our CA"    # then csr, and import`
	o.nameFlags(c, "P-256")
	c.Flags().StringVar(&o.parent, "parent", "", "the authority that signs it (default: it signs itself)")
	c.Flags().BoolVar(&o.external, "external", false, "a CA of somebody else certifies it")
	o.limitFlags.flags(c)
	return c
}

func runAuthorityCreate(ctx context.Context, o authorityCreateOptions) error {
	body, err := o.body()
	if err != nil {
		return err
	}
	body["external"] = o.external
	a, err := send[authority](ctx, o.remote, "POST /authorities", body)
	if err != nil {
		return err
	}
	return showAuthority(o.remote, a)
}

// verb is a verb that names one authority.
func (o *authorityOptions) verb(use, short string, args cobra.PositionalArgs, run func(ctx context.Context, args []string) error) *cobra.Command {
	return o.command(use, short, args, func(ctx context.Context, args []string) error {
		o.authority = args[0]
		return run(ctx, args[1:])
	})
}

func authorityShowCommand() *cobra.Command {
	var o authorityOptions
	return o.verb("show AUTHORITY", "Show an authority", cobra.ExactArgs(1), func(ctx context.Context, _ []string) error { return runAuthorityShow(ctx, o) })
}

func runAuthorityShow(ctx context.Context, o authorityOptions) error {
	a, err := get[authority](ctx, o.remote, at("GET /authorities/%s", o.authority))
	if err != nil {
		return err
	}
	return showAuthority(o.remote, a)
}

func showAuthority(r remote, a client.Object[authority]) error {
	now := time.Now()
	return show(r, a, append(authorityColumns(now),
		terminal.Column[authority]{Name: "successor", Of: func(a authority) string { return a.Successor }},
		terminal.Column[authority]{Name: "certificate", Of: func(a authority) string { return a.SHA256 }}))
}

func authorityRequestCommand() *cobra.Command {
	var o authorityOptions
	return o.verb("csr AUTHORITY", "Print a CSR for the name and key of an authority, in PEM, for another CA to certify", cobra.ExactArgs(1),
		func(ctx context.Context, _ []string) error { return runAuthorityRequest(ctx, o) })
}

func runAuthorityRequest(ctx context.Context, o authorityOptions) error {
	r, err := get[struct {
		CSR string `json:"csr"`
	}](ctx, o.remote, at("GET /authorities/%s/csr", o.authority))
	if err != nil {
		return err
	}
	if o.Format == terminal.JSON {
		return o.WriteJSON(r)
	}
	fmt.Fprint(o.Out, r.Value.CSR)
	return nil
}

type authorityImportOptions struct {
	authorityOptions
	files []string
	in    io.Reader
}

func authorityImportCommand() *cobra.Command {
	var o authorityImportOptions
	var c *cobra.Command
	c = o.verb("import AUTHORITY FILE...", "Import the certificate that another CA made for the CSR, with each one up to its root, in PEM", cobra.MinimumNArgs(2),
		func(ctx context.Context, args []string) error {
			o.files, o.in = args, c.InOrStdin()
			return runAuthorityImport(ctx, o)
		})
	return c
}

func runAuthorityImport(ctx context.Context, o authorityImportOptions) error {
	var text strings.Builder
	for _, name := range o.files {
		b, err := readInput(o.in, name)
		if err != nil {
			return err
		}
		text.WriteString(asPEM("CERTIFICATE", b))
		text.WriteByte('\n')
	}
	a, err := send[authority](ctx, o.remote, at("POST /authorities/%s/import", o.authority), map[string]any{"certificates": text.String()})
	if err != nil {
		return err
	}
	return showAuthority(o.remote, a)
}

type authorityCrossOptions struct {
	authorityOptions
	limitFlags
	issuer string
	valid  days
}

// crossCertificate is what the verbs read of one.
type crossCertificate struct {
	Issuer      string    `json:"issuer"`
	Serial      string    `json:"serial"`
	SHA256      string    `json:"sha256"`
	NotAfter    time.Time `json:"notAfter"`
	Revoked     bool      `json:"revoked"`
	Certificate string    `json:"certificate"`
}

func authorityCrossCommand() *cobra.Command {
	var o authorityCrossOptions
	c := o.verb("cross-sign AUTHORITY ISSUER", "Certify the name and key of an authority by another one, and print the certificate", cobra.ExactArgs(2),
		func(ctx context.Context, args []string) error {
			o.issuer = args[0]
			return runAuthorityCross(ctx, o)
		})
	c.Flags().Var(&o.valid, "valid", "how long, such as 365d (default: as long as both are)")
	o.limitFlags.flags(c)
	return c
}

func runAuthorityCross(ctx context.Context, o authorityCrossOptions) error {
	body := map[string]any{"issuer": o.issuer}
	if o.valid > 0 {
		body["validityDays"] = int(time.Duration(o.valid).Hours() / 24)
	}
	if err := o.limitFlags.body(body); err != nil {
		return err
	}
	x, err := send[crossCertificate](ctx, o.remote, at("POST /authorities/%s/cross-certificates", o.authority), body)
	if err != nil {
		return err
	}
	if o.Format == terminal.JSON {
		return o.WriteJSON(x)
	}
	fmt.Fprint(o.Out, x.Value.Certificate)
	return nil
}

func authorityCrossesCommand() *cobra.Command {
	var o authorityOptions
	c := o.verb("cross-certificates AUTHORITY", "List the further certificates of an authority", cobra.ExactArgs(1),
		func(ctx context.Context, _ []string) error { return runAuthorityCrosses(ctx, o) })
	o.flags(c)
	return c
}

func runAuthorityCrosses(ctx context.Context, o authorityOptions) error {
	now := time.Now()
	return list(ctx, o.remote, o.listing, at("GET /authorities/%s/cross-certificates", o.authority), nil, []terminal.Column[crossCertificate]{
		{Name: "issuer", Of: func(x crossCertificate) string { return x.Issuer }},
		{Name: "serial", Of: func(x crossCertificate) string { return x.Serial }},
		{Name: "expires", Of: func(x crossCertificate) string { return terminal.Day(now, x.NotAfter) }},
		{Name: "revoked", Of: func(x crossCertificate) string { return yes(x.Revoked) }},
	})
}

func authoritySucceedCommand() *cobra.Command {
	var o authorityCreateOptions
	var old string
	c := o.verb("succeed AUTHORITY NEW", "Have a new authority issue in the place of this one, which goes on signing its CRLs", cobra.ExactArgs(2),
		func(ctx context.Context, args []string) error {
			old, o.authority = o.authority, args[0]
			return runAuthoritySucceed(ctx, o, old)
		})
	c.Example = `  chatelaine authority succeed issuing issuing-2027 --name "Issuing CA 2027"
  chatelaine authority succeed issuing bought --existing
  chatelaine authority enable issuing    # the step back`
	o.nameFlags(c, "")
	c.Flags().BoolVar(&o.existing, "existing", false, "NEW is there already")
	o.limitFlags.flags(c)
	return c
}

func runAuthoritySucceed(ctx context.Context, o authorityCreateOptions, old string) error {
	body, err := o.body()
	if err != nil {
		return err
	}
	body["existing"] = o.existing
	a, err := send[authority](ctx, o.remote, at("POST /authorities/%s/successor", old), body)
	if err != nil {
		return err
	}
	return showAuthority(o.remote, a)
}

func authorityEnableCommand() *cobra.Command {
	return authoritySwitch("enable AUTHORITY", "Have an authority issue again, also one that was superseded", true)
}

func authorityDisableCommand() *cobra.Command {
	return authoritySwitch("disable AUTHORITY", "End the issuing of an authority, which goes on signing its CRLs", false)
}

func authoritySwitch(use, short string, on bool) *cobra.Command {
	var o authorityOptions
	return o.verb(use, short, cobra.ExactArgs(1), func(ctx context.Context, _ []string) error { return runAuthoritySwitch(ctx, o, on) })
}

func runAuthoritySwitch(ctx context.Context, o authorityOptions, on bool) error {
	a, err := send[authority](ctx, o.remote, at("PATCH /authorities/%s", o.authority), map[string]any{"issuing": on})
	if err != nil {
		return err
	}
	return showAuthority(o.remote, a)
}
