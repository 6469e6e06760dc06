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
)

type revokeOptions struct {
	remote
	what, reason string
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
belong to a lineage, are revoked with "chatelaine certificate revoke".`
	reasonFlag(c, &o.reason)
	return c
}

func runRevoke(ctx context.Context, o revokeOptions) error {
	authority, serial, ok := strings.Cut(o.what, "/")
	if _, err := os.Stat(o.what); err == nil || !ok {
		b, err := readInput(o.in, o.what)
		if err != nil {
			return err
		}
		if authority, serial, err = issuerOf(ctx, o.remote, b); err != nil {
			return err
		}
	}
	gone, err := send[issued](ctx, o.remote, at("POST /authorities/%s/certificates/%s/revoke", authority, serial), map[string]any{"reason": o.reason})
	if err != nil {
		return err
	}
	if o.Format == terminal.JSON {
		return o.WriteJSON(gone)
	}
	fmt.Fprintf(o.Out, "revoked %s of %s: %s\n", gone.Value.Serial, gone.Value.Authority, gone.Value.Reason)
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
		if a, err := x509.ParseCertificate(block.Bytes); err == nil && c.CheckSignatureFrom(a) == nil {
			return o.Value.ID, fmt.Sprintf("%x", c.SerialNumber.Bytes()), nil
		}
	}
	return "", "", errors.New("no authority of yours has signed this certificate; for those of other CAs there is \"chatelaine certificate revoke\"")
}
