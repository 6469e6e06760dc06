package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
)

type importOptions struct {
	remote
	vault, file    string
	identity       string
	passphraseFile string
	create         bool
}

func importCommand() *cobra.Command {
	var o importOptions
	c := o.command("import VAULT FILE", "Put an export of a vault into a vault", cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		o.vault, o.file = args[0], args[1]
		return runImport(ctx, o)
	})
	c.GroupID = keepGroup
	c.Long = `Put an export of a vault, of this installation or another, into a vault: all of it or
nothing. Ids of versions and dates stay as they were, so what was encrypted or signed with
a key still is. No name of the export may exist in the vault.

The file is decrypted here; the private key that opens it does not leave this machine.`
	c.Flags().StringVarP(&o.identity, "identity", "i", "", "file with age's private key that opens the export")
	c.Flags().StringVar(&o.passphraseFile, "passphrase-file", "", "file with the passphrase of the identity, where it has one")
	c.Flags().BoolVar(&o.create, "create", false, "make the vault, with the retention and purge protection of the one that was exported")
	return c
}

// importReport is what the server says of an import.
type importReport struct {
	From       string         `json:"from"`
	Objects    map[string]int `json:"objects"`
	Versions   map[string]int `json:"versions"`
	LeftBehind []struct {
		Kind    string `json:"kind"`
		Name    string `json:"name"`
		Version string `json:"version"`
		Reason  string `json:"reason"`
	} `json:"leftBehind"`
	More int `json:"moreLeftBehind"`
}

func runImport(ctx context.Context, o importOptions) error {
	if o.identity == "" {
		return errors.New("say --identity with the file of the private key that opens the export")
	}
	ids, err := readKeys(o.Err, o.identity, o.passphraseFile)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Clean(o.file))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p := terminal.NewProgress(o.Err, "")
	defer p.Stop()
	plain, err := age.Decrypt(&counted{r: f, told: func(n int64) { p.Set(int(n>>10), int(info.Size()>>10), "KiB sent") }}, ids...)
	if err != nil {
		return fmt.Errorf("%s: %w", o.file, err)
	}
	if plain, err = o.begin(ctx, plain); err != nil {
		return err
	}
	var report importReport
	if err := o.Upload(ctx, at("POST /vaults/%s/import", o.vault), "application/x-tar", plain, &report); err != nil {
		if o.create {
			return fmt.Errorf("%w; the vault %s was made, and is empty", err, o.vault)
		}
		return err
	}
	p.Set(1, 1, "")
	return o.tell(report)
}

// begin makes the vault, if that is wanted, as the beginning of the archive says.
func (o importOptions) begin(ctx context.Context, plain io.Reader) (io.Reader, error) {
	if !o.create {
		return plain, nil
	}
	var seen bytes.Buffer
	settings, err := readSettings(tar.NewReader(io.TeeReader(plain, &seen)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.file, err)
	}
	if _, err := send[vault](ctx, o.remote, at("PUT /vaults/%s", o.vault), settings); err != nil {
		return nil, err
	}
	fmt.Fprintf(o.Err, "created vault %s\n", o.vault)
	return io.MultiReader(&seen, plain), nil
}

// vaultSettings are what a new vault takes over.
type vaultSettings struct {
	RetentionDays   int  `json:"retentionDays"`
	PurgeProtection bool `json:"purgeProtection"`
}

// readSettings reads vault.json, which is the second file of an export.
func readSettings(r *tar.Reader) (vaultSettings, error) {
	var v struct{ Settings vaultSettings }
	for range 2 {
		h, err := r.Next()
		if err != nil {
			return v.Settings, fmt.Errorf("no export: %w", err)
		}
		if h.Name == "vault.json" {
			err := json.NewDecoder(io.LimitReader(r, maxInput)).Decode(&v)
			return v.Settings, err
		}
	}
	return v.Settings, errors.New("no export: vault.json is not where it must be")
}

func (o importOptions) tell(r importReport) error {
	if o.Format == terminal.JSON {
		return o.WriteJSON(r)
	}
	type line struct {
		kind              string
		objects, versions int
	}
	var lines []line
	for k, n := range r.Objects {
		lines = append(lines, line{k, n, r.Versions[k]})
	}
	slices.SortFunc(lines, func(a, b line) int { return strings.Compare(a.kind, b.kind) })
	terminal.Rows(o.Terminal, lines, []terminal.Column[line]{
		{Name: "kind", Of: func(l line) string { return l.kind }},
		{Name: "objects", Of: func(l line) string { return fmt.Sprint(l.objects) }},
		{Name: "versions", Of: func(l line) string { return fmt.Sprint(l.versions) }},
	})
	for _, l := range r.LeftBehind {
		fmt.Fprintf(o.Err, "not imported: %s\n", terminal.Clean(strings.TrimSuffix(l.Kind+"/"+l.Name+"/"+l.Version, "/")+": "+l.Reason))
	}
	if r.More > 0 {
		fmt.Fprintf(o.Err, "not imported: %d more; the file's manifest.json lists them\n", r.More)
	}
	return nil
}
