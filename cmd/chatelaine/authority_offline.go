package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	pki "chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/offline"
	pkiprofile "chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/vault/keystore"
)

// The files of an offline root, besides one for each record.
const (
	rootKeyFile  = "root.key" // encrypted under a passphrase
	rootFile     = "root.pem"
	maxCeremony  = 9999
	ceremonyName = "ceremony-%04d.txt"
)

func authorityOfflineCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "offline", Short: "A root on a machine apart, without a server", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Long: `Keep a root on a machine that has no network: in a folder with its key, encrypted under a
passphrase, and a signed record of every ceremony. CSRs are carried to it and certificates
from it. "authority csr" and "authority import" are the other half, at the server.`,
	}
	c.AddCommand(offlineCreateCommand(), offlineSignCommand(), offlineRevokeCommand(), offlineVerifyCommand())
	return c
}

// ceremony is what every verb has that uses the root's key.
type ceremony struct {
	folder, passphraseFile, note string
	witnesses                    []string
	out, errOut                  io.Writer
	now                          func() time.Time
}

// command makes a verb of a ceremony.
func (y *ceremony) command(use, short string, args cobra.PositionalArgs, run func(ctx context.Context, args []string) error) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: args, RunE: func(cmd *cobra.Command, args []string) error {
		y.folder, y.out, y.errOut, y.now = args[0], cmd.OutOrStdout(), cmd.ErrOrStderr(), time.Now
		return run(cmd.Context(), args[1:])
	}}
	f := c.Flags()
	f.StringArrayVar(&y.witnesses, "witness", nil, "the name of somebody who is there; again for each")
	f.StringVar(&y.note, "note", "", "what else the record shall say")
	f.StringVar(&y.passphraseFile, "passphrase-file", "", "the passphrase is the first line of a file (default: it is asked for)")
	if err := c.MarkFlagRequired("witness"); err != nil {
		panic(err) // a flag that has just been defined
	}
	return c
}

func (y *ceremony) minutes() offline.Minutes {
	machine, err := os.Hostname()
	if err != nil {
		machine = "unknown"
	}
	return offline.Minutes{Witnesses: y.witnesses, Note: y.note, Program: "chatelaine " + version(), Machine: machine}
}

// open reads the folder, and asks for the passphrase.
func (y *ceremony) open(ctx context.Context) (*offline.Root, []offline.Record, error) {
	log, err := readLog(y.folder)
	if err != nil {
		return nil, nil, err
	}
	name := filepath.Join(y.folder, rootKeyFile)
	locked, err := readInput(nil, name)
	if err != nil {
		return nil, nil, err
	}
	key, err := unlock(y.errOut, locked, name, y.passphraseFile)
	if err != nil {
		return nil, nil, err
	}
	r, err := offline.Open(ctx, key, log, y.now)
	clear(key)
	return r, log, err
}

// keep writes a record, which holds what was signed, before anything else leaves.
func (y *ceremony) keep(rec offline.Record) error {
	name := filepath.Join(y.folder, fmt.Sprintf(ceremonyName, rec.Number))
	if err := writeNew(name, rec.Text(), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(y.errOut, "record %d: %s\nwrite down its number and SHA-256: %s\n", rec.Number, name, rec.Digest())
	return nil
}

// writeNew writes a file that is not there yet: whole or not at all, and durable.
func writeNew(name string, text []byte, mode os.FileMode) error {
	name = filepath.Clean(name)
	f, err := os.OpenFile(name+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Link(name+".part", name) // unlike a renaming, it never replaces a file
	}
	err = errors.Join(err, os.Remove(name+".part"))
	folder, openErr := os.Open(filepath.Dir(name))
	if err != nil || openErr != nil {
		return errors.Join(err, openErr)
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// readLog reads the records of a folder, oldest first.
func readLog(folder string) ([]offline.Record, error) {
	var log []offline.Record
	for n := 1; n <= maxCeremony; n++ {
		text, err := readInput(nil, filepath.Join(folder, fmt.Sprintf(ceremonyName, n)))
		if errors.Is(err, os.ErrNotExist) && n > 1 {
			break
		}
		if err != nil {
			return nil, err
		}
		rec, err := offline.Parse(text)
		if err != nil {
			return nil, fmt.Errorf(ceremonyName+": %w", n, err)
		}
		log = append(log, rec)
	}
	return log, nil
}

type offlineCreateOptions struct {
	ceremony
	limitFlags
	name, organization, key string
	valid                   days
}

func offlineCreateCommand() *cobra.Command {
	o := offlineCreateOptions{valid: days(20 * 365 * 24 * time.Hour)}
	c := o.command("create FOLDER", "Make a root in a new folder", cobra.ExactArgs(1), func(ctx context.Context, _ []string) error { return runOfflineCreate(ctx, o) })
	c.Example = `  chatelaine authority offline create /media/root --name "Example Root" --key P-384 --witness "Ada Lovelace" --witness "Grace Hopper"`
	f := c.Flags()
	f.StringVar(&o.name, "name", "", "common name")
	f.StringVar(&o.organization, "organization", "", "organization")
	f.StringVar(&o.key, "key", "P-384", "P-256, P-384, P-521, RSA 3072, RSA 4096, Ed25519, ML-DSA-44, ML-DSA-65, ML-DSA-87, SLH-DSA-SHA2-128s, -128f, -192s, -256s, SLH-DSA-SHAKE-128s, -192s or -256s")
	f.Var(&o.valid, "valid", "how long, such as 7300d")
	o.limitFlags.flags(c)
	return c
}

func runOfflineCreate(ctx context.Context, o offlineCreateOptions) error {
	limits, err := o.limits()
	if err != nil {
		return err
	}
	key, err := keystore.AuthoritySpec(o.key)
	if err != nil {
		return err
	}
	if err := os.Mkdir(o.folder, 0o700); err != nil {
		return err // never into a folder that has something
	}
	phrase, err := readPassphrase(o.errOut, o.passphraseFile, true)
	if err != nil {
		return errors.Join(err, os.Remove(o.folder))
	}
	spec := pki.Spec{CommonName: o.name, Organization: o.organization, Key: key, Validity: time.Duration(o.valid), Limits: limits}
	_, private, rec, err := offline.Create(ctx, spec, o.minutes(), o.now)
	if err != nil {
		return errors.Join(err, os.Remove(o.folder))
	}
	defer clear(private)
	locked, err := lockKey(private, phrase)
	if err != nil {
		return errors.Join(err, os.Remove(o.folder))
	}
	if err := writeNew(filepath.Join(o.folder, rootKeyFile), locked, 0o600); err != nil { // before the record: a root without its key is none
		return err
	}
	if err := o.keep(rec); err != nil {
		return err
	}
	if err := writeNew(filepath.Join(o.folder, rootFile), []byte(rec.Certificate), 0o644); err != nil {
		return err
	}
	fmt.Fprint(o.out, rec.Certificate)
	return nil
}

func (l limitFlags) limits() (pki.Limits, error) {
	var out pki.Limits
	if l.pathLength >= 0 {
		out.PathLength = &l.pathLength
	}
	for _, side := range []struct {
		list []string
		to   *pkiprofile.Names
	}{{l.permitted, &out.Permitted}, {l.excluded, &out.Excluded}} {
		names, err := constraints(side.list)
		if err != nil {
			return out, err
		}
		*side.to = pkiprofile.Names{DNS: names["dns"], IP: names["ip"], Email: names["email"], URI: names["uri"]}
	}
	return out, nil
}

type offlineSignOptions struct {
	ceremony
	limitFlags
	request, crl, issuer string
	valid                days
}

func offlineSignCommand() *cobra.Command {
	o := offlineSignOptions{valid: days(5 * 365 * 24 * time.Hour)}
	c := o.command("sign FOLDER CSR", "Certify an intermediate authority, and print its certificate", cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		o.request = args[0]
		return runOfflineSign(ctx, o)
	})
	f := c.Flags()
	f.Var(&o.valid, "valid", "how long, such as 1825d")
	f.StringVar(&o.crl, "crl", "", "address of the root's CRL, such as http://pki.example.com/root.crl")
	f.StringVar(&o.issuer, "issuer", "", "address of the root's certificate")
	o.limitFlags.flags(c)
	return c
}

func runOfflineSign(ctx context.Context, o offlineSignOptions) error {
	limits, err := o.limits()
	if err != nil {
		return err
	}
	request, err := readInput(os.Stdin, o.request)
	if err != nil {
		return err
	}
	r, log, err := o.open(ctx)
	if err != nil {
		return err
	}
	rec, err := r.Certify(log, request, offline.Terms{Validity: time.Duration(o.valid), Limits: limits, CRL: o.crl, Issuer: o.issuer}, o.minutes())
	if err != nil {
		return err
	}
	if err := o.keep(rec); err != nil {
		return err
	}
	fmt.Fprint(o.out, rec.Certificate)
	return nil
}

type offlineRevokeOptions struct {
	ceremony
	serials []string
	valid   days
}

func offlineRevokeCommand() *cobra.Command {
	o := offlineRevokeOptions{valid: days(180 * 24 * time.Hour)}
	c := o.command("revoke FOLDER [SERIAL...]", "Sign the root's next CRL, with what is revoked now and was before, and print it", cobra.MinimumNArgs(1),
		func(ctx context.Context, args []string) error {
			o.serials = args
			return runOfflineRevoke(ctx, o)
		})
	c.Flags().Var(&o.valid, "valid", "until when the next CRL must be there, such as 180d")
	return c
}

func runOfflineRevoke(ctx context.Context, o offlineRevokeOptions) error {
	r, log, err := o.open(ctx)
	if err != nil {
		return err
	}
	rec, err := r.Revoke(log, o.serials, time.Duration(o.valid), o.minutes())
	if err != nil {
		return err
	}
	if err := o.keep(rec); err != nil {
		return err
	}
	fmt.Fprint(o.out, rec.CRL)
	return nil
}

type offlineVerifyOptions struct {
	folder, root string
	terminal     terminal.Terminal
}

func offlineVerifyCommand() *cobra.Command {
	var o offlineVerifyOptions
	c := &cobra.Command{
		Use: "verify FOLDER", Short: "Check every record of an offline root; the key is not needed", Args: cobra.ExactArgs(1),
		Long: `Check that each record is signed by the root, follows the one before, and holds what the
root signed. Whether the last ones are missing, only the number and SHA-256 tell that the
witnesses wrote down.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.folder, o.terminal.Out, o.terminal.Err = args[0], cmd.OutOrStdout(), cmd.ErrOrStderr()
			return runOfflineVerify(cmd.Context(), o)
		},
	}
	c.Flags().StringVar(&o.root, "sha256", "", "what the SHA-256 of the root's certificate must be")
	return c
}

func runOfflineVerify(_ context.Context, o offlineVerifyOptions) error {
	log, err := readLog(o.folder)
	if err != nil {
		return err
	}
	root, err := offline.Verify(log)
	if err != nil {
		return err
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(root.Raw))
	if want := strings.ToLower(strings.ReplaceAll(o.root, ":", "")); want != "" && want != sum {
		return fmt.Errorf("these are the records of another root, whose SHA-256 is %s", sum)
	}
	terminal.Rows(o.terminal, log, []terminal.Column[offline.Record]{
		{Name: "number", Of: func(r offline.Record) string { return fmt.Sprint(r.Number) }},
		{Name: "time", Of: func(r offline.Record) string { return terminal.Moment(r.Time) }},
		{Name: "for", Of: func(r offline.Record) string { return string(r.Operation) }},
		{Name: "witnesses", Of: func(r offline.Record) string { return strings.Join(r.Witnesses, ", ") }},
		{Name: "sha256", Of: func(r offline.Record) string { return r.Digest() }},
	})
	fmt.Fprintf(o.terminal.Err, "%d records of %s are whole; SHA-256 of its certificate: %s\n", len(log), root.Subject, sum)
	return nil
}
