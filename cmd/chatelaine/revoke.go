package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
	"chatelaine.dev/internal/pki/signature"
)

type revokeOptions struct {
	remote
	what, reason string
	since        string
	in           io.Reader
}

func revokeCommand() *cobra.Command {
	var o revokeOptions
	var c *cobra.Command
	c = o.command("revoke FILE | AUTHORITY/SERIAL", "Revoke a certificate that an authority of your own has issued", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			o.what, o.in = args[0], c.InOrStdin()
			return runRevoke(ctx, o)
		})
	c.GroupID = authorityGroup
	c.Long = `Revoke a certificate that an authority of your own has issued: named by its file in PEM
(- for standard input) or by authority and serial. Certificates of other CAs, and those that
belong to a lineage, are revoked with "chatelaine certificate revoke". The reason
certificateHold can be taken back with "chatelaine release".`
	words := []string{"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded", "cessationOfOperation", "privilegeWithdrawn", "certificateHold"}
	c.Flags().StringVar(&o.reason, "reason", "unspecified", strings.Join(words, ", "))
	complete(c, "reason", words...)
	sinceFlag(c, &o.since)
	return c
}

// sinceFlag takes an invalidity date.
func sinceFlag(c *cobra.Command, since *string) {
	c.Flags().StringVar(since, "invalid-since", "", "when the key is thought to have been compromised, as 2026-09-01T12:00:00Z")
}

// named finds the authority and the serial that a revocation is about.
func (o revokeOptions) named(ctx context.Context) (id, serial string, err error) {
	id, serial, ok := strings.Cut(o.what, "/")
	if _, err := os.Stat(o.what); err != nil && ok {
		return id, serial, nil
	}
	b, err := readInput(o.in, o.what)
	if err != nil {
		return "", "", err
	}
	return issuerOf(ctx, o.remote, b)
}

func runRevoke(ctx context.Context, o revokeOptions) error {
	id, serial, err := o.named(ctx)
	if err != nil {
		return err
	}
	body := map[string]any{"reason": o.reason}
	if o.since != "" {
		body["invalidSince"] = o.since
	}
	gone, err := send[issued](ctx, o.remote, at("POST /authorities/%s/certificates/%s/revoke", id, serial), body)
	if err != nil {
		return err
	}
	if o.Format == terminal.JSON {
		return o.WriteJSON(gone)
	}
	fmt.Fprintf(o.Out, "revoked %s of %s: %s\n", gone.Value.Serial, gone.Value.Authority, gone.Value.Reason)
	return nil
}

func releaseCommand() *cobra.Command {
	var o revokeOptions
	var c *cobra.Command
	c = o.command("release FILE | AUTHORITY/SERIAL", "End the hold of a certificate that was revoked for certificateHold", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			o.what, o.in = args[0], c.InOrStdin()
			return runRelease(ctx, o)
		})
	c.GroupID = authorityGroup
	return c
}

func runRelease(ctx context.Context, o revokeOptions) error {
	id, serial, err := o.named(ctx)
	if err != nil {
		return err
	}
	back, err := send[issued](ctx, o.remote, at("POST /authorities/%s/certificates/%s/release", id, serial), nil)
	if err != nil {
		return err
	}
	if o.Format == terminal.JSON {
		return o.WriteJSON(back)
	}
	fmt.Fprintf(o.Out, "released %s of %s\n", back.Value.Serial, back.Value.Authority)
	return nil
}

// issuerOf finds the authority that has signed a certificate, and the serial there.
func issuerOf(ctx context.Context, r remote, text []byte) (id, serial string, err error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return "", "", errors.New("there is no certificate in PEM in the file")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", "", err
	}
	for o, err := range client.All[authority](ctx, r.Client, "GET /authorities", nil) {
		if err != nil {
			return "", "", err
		}
		block, _ := pem.Decode([]byte(o.Value.Certificate))
		if block == nil {
			continue
		}
		if a, err := x509.ParseCertificate(block.Bytes); err == nil && signature.CheckFrom(c, a) == nil {
			return o.Value.ID, fmt.Sprintf("%x", c.SerialNumber.Bytes()), nil
		}
	}
	return "", "", errors.New("no authority of yours has signed this certificate; for those of other CAs there is \"chatelaine certificate revoke\"")
}
