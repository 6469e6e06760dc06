package main

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

func certificateCommand() *cobra.Command {
	c := group("certificate", "Certificates of the inventory, wherever they live", certificateGroup,
		certificateListCommand(), certificateShowCommand(), certificateAdoptCommand(), certificateRenewCommand(), certificateRevokeCommand())
	c.Aliases = []string{"cert", "certificates"}
	return c
}

// certificate is what the verbs read of one.
type certificate struct {
	SHA256     string    `json:"sha256"`
	Name       string    `json:"name"`
	Subject    string    `json:"subject"`
	Issuer     string    `json:"issuer"`
	Serial     string    `json:"serial"`
	Key        key       `json:"key"`
	NotBefore  time.Time `json:"notBefore"`
	NotAfter   time.Time `json:"notAfter"`
	Stage      string    `json:"stage"`
	Status     string    `json:"status"`
	Owner      string    `json:"owner"`
	Lineage    string    `json:"lineage"`
	Trust      string    `json:"trust"`
	Grade      string    `json:"grade"`
	Score      int       `json:"score"`
	SelfSigned bool      `json:"selfSigned"`
	FirstSeen  time.Time `json:"firstSeen"`
	LastSeen   time.Time `json:"lastSeen"`
}

type key struct {
	Algorithm  string `json:"algorithm"`
	Parameters string `json:"parameters"`
	Size       int    `json:"size"`
}

func (k key) String() string {
	switch {
	case k.Parameters != "":
		return k.Algorithm + " " + k.Parameters
	case k.Size > 0:
		return fmt.Sprintf("%s %d", k.Algorithm, k.Size)
	}
	return k.Algorithm
}

type certificateListOptions struct {
	remote
	listing
	filter, sort string
}

func certificateListCommand() *cobra.Command {
	var o certificateListOptions
	c := o.command("list", "List certificates", cobra.NoArgs, func(ctx context.Context, _ []string) error { return runCertificateList(ctx, o) })
	c.Long = `List certificates. The filter is a small language:

  chatelaine certificate list --filter 'expires < 30d and not stage = managed'
  chatelaine certificate list --filter 'finding = weak-key or issuer ~ "Example CA"' --sort -grade

Conditions are a field, an operator (= != < <= > >= and ~ for "contains") and a value,
joined by and, or, not and parentheses. A wrong filter is answered with what is possible.`
	o.flags(c)
	c.Flags().StringVarP(&o.filter, "filter", "f", "", "which ones, such as 'expires < 30d'")
	c.Flags().StringVar(&o.sort, "sort", "", "name, issuer, expires (default), issued, lifetime, keysize, grade, firstseen or lastseen; - before it for the other direction")
	complete(c, "sort", "name", "issuer", "expires", "issued", "lifetime", "keysize", "grade", "firstseen", "lastseen")
	return c
}

func runCertificateList(ctx context.Context, o certificateListOptions) error {
	now := time.Now()
	o.counts = "GET /certificates/count"
	return list(ctx, o.remote, o.listing, "GET /certificates", url.Values{"filter": {o.filter}, "sort": {o.sort}}, []terminal.Column[certificate]{
		{Name: "sha256", Of: func(c certificate) string { return terminal.Short(c.SHA256) }},
		{Name: "name", Of: func(c certificate) string { return c.Name }},
		{Name: "issuer", Of: func(c certificate) string { return c.Issuer }},
		{Name: "expires", Of: func(c certificate) string { return terminal.Day(now, c.NotAfter) }},
		{Name: "key", Of: func(c certificate) string { return c.Key.String() }},
		{Name: "status", Of: func(c certificate) string { return c.Status }},
		{Name: "grade", Of: func(c certificate) string { return c.Grade }},
		{Name: "stage", Of: func(c certificate) string { return c.Stage }},
	})
}

// certificateDetail is everything about one.
type certificateDetail struct {
	certificate
	Names []struct {
		Kind  string `json:"kind"`
		Value string `json:"value"`
	} `json:"names"`
	Signature struct {
		Algorithm string `json:"algorithm"`
	} `json:"signature"`
	RevokedAt        time.Time      `json:"revokedAt"`
	RevocationReason string         `json:"revocationReason"`
	Installations    []installation `json:"installations"`
	Findings         []finding      `json:"findings"`
	Issuers          []struct {
		SHA256 string `json:"sha256"`
		Name   string `json:"name"`
	} `json:"issuers"`
	PEM string `json:"pem"`
}

type finding struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
	WhatToDo string `json:"whatToDo"`
}

type certificateShowOptions struct {
	remote
	certificate string
	pem         bool
}

func certificateShowCommand() *cobra.Command {
	var o certificateShowOptions
	c := o.command("show CERTIFICATE", "Show a certificate with its installations, findings and chain", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			o.certificate = args[0]
			return runCertificateShow(ctx, o)
		})
	c.Long = "Show a certificate with its installations, findings and chain. Name it by its SHA-256, the\nbeginning of that, or its name if only one bears it."
	c.Flags().BoolVar(&o.pem, "pem", false, "print the certificate itself")
	return c
}

func runCertificateShow(ctx context.Context, o certificateShowOptions) error {
	sha256, err := fingerprintOf(ctx, o.remote, o.certificate)
	if err != nil {
		return err
	}
	c, err := get[certificateDetail](ctx, o.remote, at("GET /certificates/%s", sha256))
	if err != nil {
		return err
	}
	if o.pem {
		fmt.Fprint(o.Out, c.Value.PEM)
		return nil
	}
	return show(o.remote, c, certificateFields(time.Now()))
}

func certificateFields(now time.Time) []terminal.Column[certificateDetail] {
	type d = certificateDetail
	return []terminal.Column[d]{
		{Name: "name", Of: func(c d) string { return c.Name }},
		{Name: "sha256", Of: func(c d) string { return c.SHA256 }},
		{Name: "subject", Of: func(c d) string { return c.Subject }},
		{Name: "issuer", Of: func(c d) string { return c.Issuer }},
		{Name: "serial", Of: func(c d) string { return c.Serial }},
		{Name: "names", Of: func(c d) string {
			var names []string
			for _, n := range c.Names {
				names = append(names, n.Kind+":"+n.Value)
			}
			return strings.Join(names, "\n")
		}},
		{Name: "valid from", Of: func(c d) string { return terminal.Day(now, c.NotBefore) }},
		{Name: "valid until", Of: func(c d) string { return terminal.Day(now, c.NotAfter) }},
		{Name: "key", Of: func(c d) string { return c.Key.String() }},
		{Name: "signature", Of: func(c d) string { return c.Signature.Algorithm }},
		{Name: "trust", Of: func(c d) string { return c.Trust }},
		{Name: "status", Of: func(c d) string { return c.Status }},
		{Name: "revoked", Of: func(c d) string {
			if c.RevokedAt.IsZero() {
				return ""
			}
			return terminal.Moment(c.RevokedAt) + " " + c.RevocationReason
		}},
		{Name: "stage", Of: func(c d) string { return c.Stage }},
		{Name: "owner", Of: func(c d) string { return c.Owner }},
		{Name: "lineage", Of: func(c d) string { return c.Lineage }},
		{Name: "chain", Of: func(c d) string {
			var names []string
			for _, i := range c.Issuers {
				names = append(names, terminal.Short(i.SHA256)+"  "+i.Name)
			}
			return strings.Join(names, "\n")
		}},
		{Name: "seen", Of: func(c d) string { return terminal.Moment(c.FirstSeen) + " to " + terminal.Moment(c.LastSeen) }},
		{Name: "installed at", Of: func(c d) string {
			var places []string
			for _, i := range c.Installations {
				places = append(places, fmt.Sprintf("%s (%s)", i.place(), i.State))
			}
			return strings.Join(places, "\n")
		}},
		{Name: "grade", Of: func(c d) string { return fmt.Sprintf("%s (%d of 100)", c.Grade, c.Score) }},
		{Name: "findings", Of: func(c d) string {
			var lines []string
			for _, f := range c.Findings {
				lines = append(lines, fmt.Sprintf("%s %s: %s; %s", f.Severity, f.Rule, f.Message, f.WhatToDo))
			}
			return strings.Join(lines, "\n")
		}},
	}
}

var (
	hexDigits = regexp.MustCompile(`^[0-9a-f]{6,64}$`)
	quotable  = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
)

// fingerprintOf finds the SHA-256 of the one certificate that a user means: by its
// fingerprint, the beginning of that, or its name.
func fingerprintOf(ctx context.Context, r remote, text string) (string, error) {
	folded := strings.ToLower(strings.ReplaceAll(text, ":", ""))
	isHex := hexDigits.MatchString(folded)
	if isHex && len(folded) == 64 {
		return folded, nil
	}
	filter := `name = "` + quotable.Replace(text) + `"`
	if isHex {
		filter = fmt.Sprintf(`sha256 ~ "%s" or %s`, folded, filter)
	}
	var found []certificate
	for o, err := range client.All[certificate](ctx, r.Client, "GET /certificates", url.Values{"filter": {filter}, "limit": {"100"}}) {
		if err != nil {
			return "", err
		}
		if c := o.Value; strings.EqualFold(c.Name, text) || isHex && strings.HasPrefix(c.SHA256, folded) {
			found = append(found, c)
		}
		if len(found) > 10 {
			break
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("there is no certificate %q in the inventory; \"chatelaine certificate list\" shows what there is", text)
	case 1:
		return found[0].SHA256, nil
	}
	var which []string
	for _, c := range found {
		which = append(which, fmt.Sprintf("  %s  until %s  %s", terminal.Short(c.SHA256), c.NotAfter.Format("2006-01-02"), terminal.Clean(c.Issuer)))
	}
	return "", fmt.Errorf("more than one certificate is meant by %q; use one of these:\n%s", text, strings.Join(which, "\n"))
}

type certificateRenewOptions struct {
	remote
	watching
	certificate, comment string
}

func certificateRenewCommand() *cobra.Command {
	var o certificateRenewOptions
	c := o.command("renew CERTIFICATE", "Renew a managed certificate now", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.certificate = args[0]
		return runCertificateRenew(ctx, o)
	})
	c.Flags().StringVar(&o.comment, "comment", "", "why, for who approves and for the record")
	o.watching.flags(c)
	return c
}

func runCertificateRenew(ctx context.Context, o certificateRenewOptions) error {
	sha256, err := fingerprintOf(ctx, o.remote, o.certificate)
	if err != nil {
		return err
	}
	c, err := get[certificate](ctx, o.remote, at("GET /certificates/%s", sha256))
	if err != nil {
		return err
	}
	if c.Value.Lineage == "" {
		return fmt.Errorf("certificate %s is not managed; adopt it first: chatelaine certificate adopt %s", terminal.Short(sha256), terminal.Short(sha256))
	}
	return ask(ctx, o.remote, o.watching, "POST /requests", map[string]any{"lineage": c.Value.Lineage, "comment": o.comment})
}

type certificateRevokeOptions struct {
	remote
	watching
	certificate, reason, comment string
	ask                          bool
}

func certificateRevokeCommand() *cobra.Command {
	var o certificateRevokeOptions
	c := o.command("revoke CERTIFICATE", "Revoke a certificate, whoever issued it", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.certificate = args[0]
		return runCertificateRevoke(ctx, o)
	})
	reasonFlag(c, &o.reason)
	c.Flags().StringVar(&o.comment, "comment", "", "for the record")
	c.Flags().BoolVar(&o.ask, "ask", false, "ask somebody else to agree instead of revoking at once")
	o.watching.flags(c)
	return c
}

// reasonFlag adds --reason with the words of RFC 5280 section 5.3.1.
func reasonFlag(c *cobra.Command, reason *string) {
	words := []string{"unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation", "privilegeWithdrawn"}
	c.Flags().StringVar(reason, "reason", "unspecified", strings.Join(words, ", "))
	complete(c, "reason", words...)
}

func runCertificateRevoke(ctx context.Context, o certificateRevokeOptions) error {
	sha256, err := fingerprintOf(ctx, o.remote, o.certificate)
	if err != nil {
		return err
	}
	route := "POST /certificates/%s/revoke"
	if o.ask {
		route = "POST /certificates/%s/request-revocation"
	}
	return ask(ctx, o.remote, o.watching, at(route, sha256), map[string]any{"reason": o.reason, "comment": o.comment})
}
