package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
)

type generateOptions struct {
	remote
	names                                           []string
	profile, authority, key, format, out, env, keep string
	days                                            int
}

func generateCommand() *cobra.Command {
	var o generateOptions
	c := o.command("generate NAME...", "Make a key and a certificate for it, in one file", cobra.MinimumNArgs(1), func(ctx context.Context, args []string) error {
		o.names = args
		return runGenerate(ctx, o)
	})
	c.GroupID = authorityGroup
	c.Long = "Make a key and a certificate for it, by an authority of your own, and write both to a file that others\ncannot read. The server keeps no copy of the key, unless it is to be kept in a vault."
	c.Example = `  PASSWORD=… chatelaine generate shop.internal --format pfx --out shop.pfx
  chatelaine generate shop.internal --format pem --out shop.pem --keep default/shop`
	f := c.Flags()
	f.StringVar(&o.profile, "profile", "tls-server", "what the certificate may look like; \"chatelaine profile list\" shows each")
	completeFlag(c, &o.remote, "profile", aProfile)
	f.StringVar(&o.authority, "authority", "", "who signs (default: the profile's first)")
	f.StringVar(&o.key, "key", "P-256", "kind of key: P-256, RSA 3072")
	f.StringVar(&o.format, "format", "pfx", "pfx, pem or jks")
	complete(c, "format", "pfx", "pem", "jks")
	f.StringVar(&o.env, "password-env", "PASSWORD", "environment variable with the password of a pfx or jks")
	f.StringVar(&o.out, "out", "", "file to write, which must not be there yet")
	f.StringVar(&o.keep, "keep", "", "VAULT/CERTIFICATE of which it becomes a version too")
	f.IntVar(&o.days, "days", 0, "for how long (default: as the profile says)")
	return c
}

// generated is a bundle as the server sends it.
type generated struct {
	issued
	Bundle string `json:"bundle"`
}

func runGenerate(ctx context.Context, o generateOptions) error {
	if o.out == "" {
		return errors.New("say by --out which file to write")
	}
	body := map[string]any{"names": alternativeNames(o.names), "authority": o.authority, "key": o.key, "format": o.format, "validityDays": o.days}
	if o.format != "pem" {
		body["password"] = os.Getenv(o.env)
	}
	if o.keep != "" {
		vault, name, ok := strings.Cut(o.keep, "/")
		if !ok {
			return fmt.Errorf("--keep %q: want VAULT/CERTIFICATE", o.keep)
		}
		body["keep"] = map[string]any{"vault": vault, "name": name}
	}
	// Before anything is issued: a file that is there stays, and nobody else reads the new one.
	file, err := os.OpenFile(filepath.Clean(o.out), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	made, err := send[generated](ctx, o.remote, at("POST /profiles/%s/bundles", o.profile), body)
	if err == nil {
		err = writeBundle(file, made.Value.Bundle)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	c := made.Value.issued
	fmt.Fprintf(o.Err, "issued by %s, serial %s, valid until %s; written to %s\n", c.Authority, c.Serial, terminal.Moment(c.NotAfter), o.out)
	return nil
}

// alternativeNames sorts names by their kind.
func alternativeNames(names []string) map[string][]string {
	sorted := map[string][]string{}
	for _, n := range names {
		kind := "dns"
		switch _, err := netip.ParseAddr(n); {
		case err == nil:
			kind = "ip"
		case strings.Contains(n, "://"):
			kind = "uri"
		case strings.Contains(n, "@"):
			kind = "email"
		}
		sorted[kind] = append(sorted[kind], n)
	}
	return sorted
}

func writeBundle(file *os.File, text string) error {
	b, err := base64.StdEncoding.DecodeString(text)
	if err == nil {
		_, err = file.Write(b)
	}
	return err
}
