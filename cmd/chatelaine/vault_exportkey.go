package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

type exportKeyOptions struct {
	file           string
	passphrase     bool
	passphraseFile string
}

func exportKeyCommand() *cobra.Command {
	var o exportKeyOptions
	c := &cobra.Command{
		Use: "key FILE", Short: "Make the key that opens an export, as age-keygen does", Args: cobra.ExactArgs(1),
		Long: `Make a key pair for exports. The private half goes into FILE, the public half, which an
export is asked for with, to standard output. The server never sees the private half.

The file is one of age's (https://age-encryption.org) and safe from quantum computers:
age -d -i FILE opens what was encrypted to it. With a passphrase it is encrypted itself.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.file = args[0]
			return runExportKey(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	c.Flags().BoolVar(&o.passphrase, "passphrase", false, "encrypt the file under a passphrase, which is asked for")
	c.Flags().StringVar(&o.passphraseFile, "passphrase-file", "", "encrypt the file under the passphrase that is the first line of a file")
	return c
}

func runExportKey(_ context.Context, o exportKeyOptions, out, errOut io.Writer) error {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return err
	}
	text := fmt.Appendf(nil, "# created: %s\n# public key: %s\n%s\n", time.Now().UTC().Format(time.RFC3339), id.Recipient(), id)
	if o.passphrase || o.passphraseFile != "" {
		phrase, err := readPassphrase(errOut, o.passphraseFile, true)
		if err != nil {
			return err
		}
		if text, err = lockKey(text, phrase); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(filepath.Clean(o.file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	fmt.Fprintf(errOut, "wrote the private key to %s; whoever has it opens the export\n", o.file)
	fmt.Fprintln(out, id.Recipient())
	return nil
}

// lockKey encrypts a key file under a passphrase, as age -p -a does.
func lockKey(text []byte, phrase string) ([]byte, error) {
	r, err := age.NewScryptRecipient(phrase)
	if err != nil {
		return nil, err
	}
	var locked bytes.Buffer
	a := armor.NewWriter(&locked)
	w, err := age.Encrypt(a, r)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	err = errors.Join(err, w.Close(), a.Close()) // which write the end
	return locked.Bytes(), err
}

// readKeys reads a key file, and asks for its passphrase if it is encrypted.
func readKeys(errOut io.Writer, name, passphraseFile string) ([]age.Identity, error) {
	text, err := readInput(os.Stdin, name)
	if err != nil {
		return nil, err
	}
	if text, err = unlock(errOut, text, name, passphraseFile); err != nil {
		return nil, err
	}
	ids, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s is no file of age's private keys", name) // the error may quote one
	}
	return ids, nil
}

// unlock opens what lockKey encrypted, and asks for the passphrase; other text stays as it is.
func unlock(errOut io.Writer, text []byte, name, passphraseFile string) ([]byte, error) {
	var locked io.Reader
	switch {
	case bytes.HasPrefix(text, []byte(armor.Header)):
		locked = armor.NewReader(bytes.NewReader(text))
	case bytes.HasPrefix(text, []byte("age-encryption.org/")):
		locked = bytes.NewReader(text)
	default:
		return text, nil
	}
	phrase, err := readPassphrase(errOut, passphraseFile, false)
	if err != nil {
		return nil, err
	}
	id, err := age.NewScryptIdentity(phrase)
	if err != nil {
		return nil, err
	}
	plain, err := age.Decrypt(locked, id)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if text, err = io.ReadAll(io.LimitReader(plain, maxInput)); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return text, nil
}

// readPassphrase reads the first line of a file, or asks; twice for a new one.
func readPassphrase(errOut io.Writer, file string, fresh bool) (string, error) {
	if file != "" {
		b, err := readInput(os.Stdin, file)
		line, _, _ := strings.Cut(string(b), "\n")
		if line = strings.TrimSuffix(line, "\r"); err == nil && line == "" {
			err = fmt.Errorf("%s has no passphrase in its first line", file)
		}
		return line, err
	}
	terminal := int(os.Stdin.Fd()) // #nosec G115 -- a file descriptor is small
	if !term.IsTerminal(terminal) {
		return "", errors.New("there is nobody to ask for the passphrase; say --passphrase-file")
	}
	ask := func(text string) (string, error) {
		fmt.Fprint(errOut, text)
		b, err := term.ReadPassword(terminal)
		fmt.Fprintln(errOut)
		return string(b), err
	}
	phrase, err := ask("Passphrase: ")
	if err != nil || !fresh {
		return phrase, err
	}
	again, err := ask("Once more: ")
	switch {
	case err != nil:
		return "", err
	case phrase != again:
		return "", errors.New("the two are not the same")
	case phrase == "":
		return "", errors.New("an empty passphrase protects nothing")
	}
	return phrase, nil
}
