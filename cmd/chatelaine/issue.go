package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
)

// issued is a certificate that an authority has made.
type issued struct {
	Authority   string    `json:"authority"`
	Serial      string    `json:"serial"`
	SHA256      string    `json:"sha256"`
	Profile     string    `json:"profile"`
	Subject     string    `json:"subject"`
	NotAfter    time.Time `json:"notAfter"`
	State       string    `json:"state"`
	Request     string    `json:"request"`
	Problem     string    `json:"problem"`
	Reason      string    `json:"reason"`
	Certificate string    `json:"certificate"`
	Chain       string    `json:"chain"`
}

type issueOptions struct {
	remote
	csr, profile, authority, out, once string
	days                               int
	leaf                               bool
	in                                 io.Reader
}

func issueCommand() *cobra.Command {
	var o issueOptions
	var c *cobra.Command
	c = o.command("issue CSR", "Issue a certificate for a CSR, with an authority of your own", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		o.csr, o.in = args[0], c.InOrStdin()
		return runIssue(ctx, o)
	})
	c.GroupID = authorityGroup
	c.Long = "Issue a certificate for a CSR: a file in PEM or DER, or - for standard input. The certificate\nand its issuers are printed in PEM, as nginx wants them."
	c.Example = `  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem \
    -subj / -addext subjectAltName=DNS:shop.example.com | chatelaine issue - --out shop.pem`
	f := c.Flags()
	f.StringVar(&o.profile, "profile", "tls-server", "what the certificate may look like; \"chatelaine profile list\" shows each")
	completeFlag(c, &o.remote, "profile", aProfile)
	f.StringVar(&o.authority, "authority", "", "who signs (default: the profile's first)")
	f.IntVar(&o.days, "days", 0, "for how long (default: as the profile says)")
	f.StringVar(&o.once, "request", "", "an id of yours: the same again, with the same CSR, brings the same certificate")
	f.BoolVar(&o.leaf, "leaf", false, "the certificate alone, without its issuers")
	f.StringVar(&o.out, "out", "", "write to a file instead")
	return c
}

func runIssue(ctx context.Context, o issueOptions) error {
	csr, err := readInput(o.in, o.csr)
	if err != nil {
		return err
	}
	made, err := send[issued](ctx, o.remote, at("POST /profiles/%s/certificates", o.profile), map[string]any{
		"csr": asPEM("CERTIFICATE REQUEST", csr), "authority": o.authority, "validityDays": o.days, "request": o.once,
	})
	if err != nil {
		return err
	}
	c := made.Value
	if c.Certificate == "" {
		return fmt.Errorf("nothing is issued yet: request %s is %s; see \"chatelaine request show %s\", and issue with the same --request again to collect it", c.Request, c.State, c.Request)
	}
	fmt.Fprintf(o.Err, "issued by %s, serial %s, valid until %s\n", c.Authority, c.Serial, terminal.Moment(c.NotAfter))
	if o.Format == terminal.JSON {
		return o.WriteJSON(made)
	}
	text := c.Certificate + c.Chain
	if o.leaf {
		text = c.Certificate
	}
	if o.out != "" {
		return os.WriteFile(filepath.Clean(o.out), []byte(text), 0o644) // #nosec G306 -- a certificate is public
	}
	fmt.Fprint(o.Out, text)
	return nil
}
