package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
)

func exportCommand() *cobra.Command {
	c := group("export", "Take a whole vault out, encrypted, when two people want it", keepGroup,
		exportKeyCommand(), exportPolicyCommand(), exportRequestCommand(), exportListCommand(), exportShowCommand(),
		exportDecideCommand("approve", "Agree to an export that somebody else asked for"), exportDecideCommand("deny", "Decline an export"),
		exportCancelCommand(), exportDownloadCommand())
	c.Long = `Take a whole vault out of this installation, as one encrypted file that is read without
Chatelaine: keys, secrets, certificates, all versions, policies, issuers, contacts.

  1. whoever manages the vault allows it:    chatelaine export policy payroll all
  2. one asks, and names who can decrypt it: chatelaine export request payroll --keys --recipient age1…
  3. another agrees to exactly that:         chatelaine export approve payroll ID --digest DIGEST
  4. the first fetches it within a day:      chatelaine export download payroll ID
  5. anybody with the key opens it:          age -d -i key.txt payroll-2026-11-23.tar.age | tar x
     or puts it into another installation:   chatelaine import payroll payroll-2026-11-23.tar.age --identity key.txt`
	return c
}

// exportRequest is what the verbs read of a request.
type exportRequest struct {
	ID            string    `json:"id"`
	Vault         string    `json:"vault"`
	State         string    `json:"state"`
	Keys          bool      `json:"keys"`
	Recipients    []string  `json:"recipients"`
	Digest        string    `json:"digest"`
	Comment       string    `json:"comment"`
	Requester     string    `json:"requester"`
	RequesterName string    `json:"requesterName"`
	Ends          time.Time `json:"ends"`
	Decision      *struct {
		Principal string `json:"principal"`
		Name      string `json:"name"`
		Comment   string `json:"comment"`
	} `json:"decision"`
}

// brief is a recipient short enough for a line: those of age1pq1 have 1,959 characters.
func brief(recipient string) string {
	if len(recipient) <= 70 {
		return recipient
	}
	return recipient[:32] + "…" + recipient[len(recipient)-16:]
}

func exportColumns() []terminal.Column[exportRequest] {
	return []terminal.Column[exportRequest]{
		{Name: "id", Of: func(r exportRequest) string { return r.ID }},
		{Name: "state", Of: func(r exportRequest) string { return r.State }},
		{Name: "private keys", Of: func(r exportRequest) string { return yes(r.Keys) }},
		{Name: "requester", Of: func(r exportRequest) string { return r.RequesterName }},
		{Name: "until", Of: func(r exportRequest) string { return terminal.Moment(r.Ends) }},
	}
}

func exportFields() []terminal.Column[exportRequest] {
	return append(exportColumns(),
		terminal.Column[exportRequest]{Name: "vault", Of: func(r exportRequest) string { return r.Vault }},
		terminal.Column[exportRequest]{Name: "comment", Of: func(r exportRequest) string { return r.Comment }},
		terminal.Column[exportRequest]{Name: "recipients", Of: func(r exportRequest) string {
			lines := make([]string, len(r.Recipients))
			for i, x := range r.Recipients {
				lines[i] = brief(x)
			}
			return strings.Join(lines, " ")
		}},
		terminal.Column[exportRequest]{Name: "digest", Of: func(r exportRequest) string { return r.Digest }},
		terminal.Column[exportRequest]{Name: "decided by", Of: func(r exportRequest) string {
			if r.Decision == nil {
				return ""
			}
			return strings.TrimSpace(r.Decision.Name + " " + r.Decision.Comment)
		}})
}

type exportOptions struct {
	remote
	listing
	vault, id       string
	digest, comment string
	keys            bool
	recipients      []string
	recipientFiles  []string
	file            string
}

// takes makes a verb whose arguments are a vault and, if two are wanted, a request.
func (o *exportOptions) takes(use, short string, arguments int, run func(ctx context.Context) error) *cobra.Command {
	c := o.command(use, short, cobra.ExactArgs(arguments), func(ctx context.Context, args []string) error {
		o.vault = args[0]
		if arguments == 2 {
			o.id = args[1]
		}
		return run(ctx)
	})
	c.ValidArgsFunction = completeNames(&o.remote, aVault)
	return c
}

func exportPolicyCommand() *cobra.Command {
	var o exportOptions
	c := o.command("policy VAULT [nothing|without-keys|all]", "Tell or say what exports of a vault may take along", cobra.RangeArgs(1, 2),
		func(ctx context.Context, args []string) error {
			policy := ""
			if len(args) == 2 {
				policy = args[1]
			}
			return runExportPolicy(ctx, o.remote, args[0], policy)
		})
	return c
}

func runExportPolicy(ctx context.Context, r remote, vault, policy string) error {
	type allowed struct {
		Allow string `json:"allow"`
	}
	words := map[string]string{"nothing": "nothing", "without-keys": "withoutKeys", "all": "all"}
	columns := []terminal.Column[allowed]{{Name: "an export may take along", Of: func(a allowed) string {
		return map[string]string{"nothing": "nothing", "withoutKeys": "everything but private keys", "all": "all"}[a.Allow]
	}}}
	if policy == "" {
		a, err := get[allowed](ctx, r, at("GET /vaults/%s/export-policy", vault))
		if err != nil {
			return err
		}
		return show(r, a, columns)
	}
	if words[policy] == "" {
		return fmt.Errorf("%q: want nothing, without-keys or all", policy)
	}
	a, err := send[allowed](ctx, r, at("PUT /vaults/%s/export-policy", vault), map[string]any{"allow": words[policy]})
	if err != nil {
		return err
	}
	return show(r, a, columns)
}

func exportRequestCommand() *cobra.Command {
	var o exportOptions
	c := o.takes("request VAULT", "Ask for an export; somebody else must approve it", 1, func(ctx context.Context) error { return runExportRequest(ctx, o) })
	c.Flags().StringArrayVar(&o.recipients, "recipient", nil, "age public key, age1…, of who can decrypt the file; may be repeated")
	c.Flags().StringArrayVar(&o.recipientFiles, "recipient-file", nil, "file with age public keys, one a line; may be repeated")
	c.Flags().BoolVar(&o.keys, "keys", false, "take private keys along")
	c.Flags().StringVar(&o.comment, "comment", "", "why it is wanted, for whoever approves it")
	return c
}

func runExportRequest(ctx context.Context, o exportOptions) error {
	recipients := o.recipients
	for _, name := range o.recipientFiles {
		text, err := readInput(os.Stdin, name)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				recipients = append(recipients, line)
			}
		}
	}
	if len(recipients) == 0 {
		return errors.New(`name who can decrypt the file: --recipient age1…; "chatelaine export key FILE" makes a key`)
	}
	r, err := send[exportRequest](ctx, o.remote, at("POST /vaults/%s/exports", o.vault), map[string]any{"recipients": recipients, "keys": o.keys, "comment": o.comment})
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Err, "somebody who has nothing to do with your account must approve it:\n  chatelaine export approve %s %s --digest %s\n", o.vault, r.Value.ID, r.Value.Digest)
	return show(o.remote, r, exportFields())
}

func exportListCommand() *cobra.Command {
	var o exportOptions
	c := o.takes("list VAULT", "List the requests to export a vault, newest first", 1, func(ctx context.Context) error {
		return list(ctx, o.remote, o.listing, at("GET /vaults/%s/exports", o.vault), url.Values{}, exportColumns())
	})
	o.flags(c)
	return c
}

func exportShowCommand() *cobra.Command {
	var o exportOptions
	return o.takes("show VAULT ID", "Show a request to export a vault", 2, func(ctx context.Context) error {
		r, err := get[exportRequest](ctx, o.remote, at("GET /vaults/%s/exports/%s", o.vault, o.id))
		if err != nil {
			return err
		}
		return show(o.remote, r, exportFields())
	})
}

func exportDecideCommand(verb, short string) *cobra.Command {
	var o exportOptions
	c := o.takes(verb+" VAULT ID", short, 2, func(ctx context.Context) error { return runExportDecide(ctx, o, verb) })
	if verb == "approve" {
		c.Flags().StringVar(&o.digest, "digest", "", "digest of the request, as \"chatelaine export show\" tells it: what is approved, and nothing else")
	}
	c.Flags().StringVar(&o.comment, "comment", "", "for whoever asked")
	return c
}

func runExportDecide(ctx context.Context, o exportOptions, verb string) error {
	body := map[string]any{"comment": o.comment}
	if verb == "approve" {
		if o.digest == "" {
			return fmt.Errorf("look at what is asked for, and say --digest with what you find: chatelaine export show %s %s", o.vault, o.id)
		}
		body["digest"] = o.digest
	}
	r, err := send[exportRequest](ctx, o.remote, at("POST /vaults/%s/exports/%s/"+verb, o.vault, o.id), body)
	if err != nil {
		return err
	}
	return show(o.remote, r, exportFields())
}

func exportCancelCommand() *cobra.Command {
	var o exportOptions
	return o.takes("cancel VAULT ID", "Give up a request of yours", 2, func(ctx context.Context) error {
		r, err := send[exportRequest](ctx, o.remote, at("POST /vaults/%s/exports/%s/cancel", o.vault, o.id), nil)
		if err != nil {
			return err
		}
		return show(o.remote, r, exportFields())
	})
}

func exportDownloadCommand() *cobra.Command {
	var o exportOptions
	c := o.takes("download VAULT ID", "Fetch an export of yours that was approved", 2, func(ctx context.Context) error { return runExportDownload(ctx, o) })
	c.Flags().StringVarP(&o.file, "file", "f", "", "where to write it; the default is VAULT-DATE.tar.age")
	return c
}

// runExportDownload writes the file under another name first, so that half a file is
// never taken for a whole one.
func runExportDownload(ctx context.Context, o exportOptions) (err error) {
	file, name, err := o.Download(ctx, at("GET /vaults/%s/exports/%s/file", o.vault, o.id))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if o.file == "" {
		if o.file = filepath.Base(filepath.Clean(name)); o.file != name || strings.HasPrefix(name, ".") {
			return fmt.Errorf("the server calls the file %q; say --file", name)
		}
	}
	if _, err := os.Lstat(o.file); err == nil {
		return fmt.Errorf("%s exists already; say --file with another name", o.file)
	}
	part, err := os.OpenFile(o.file+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, part.Close())
		if err != nil {
			_ = os.Remove(part.Name())
		}
	}()
	p := terminal.NewProgress(o.Err, "")
	n, err := io.Copy(part, &counted{r: file, told: func(n int64) { p.Set(0, 0, "fetched "+size(n)) }})
	p.Stop()
	if err != nil {
		return fmt.Errorf("the export was cut off after %s: %w; fetch it again", size(n), err)
	}
	if err := part.Sync(); err != nil {
		return err
	}
	if err := os.Rename(part.Name(), o.file); err != nil {
		return err
	}
	fmt.Fprintf(o.Err, "wrote %s, %s\n", o.file, size(n))
	return nil
}

// counted tells how much was read.
type counted struct {
	r    io.Reader
	n    int64
	told func(n int64)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	c.told(c.n)
	return n, err
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
