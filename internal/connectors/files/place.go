package files

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
)

// maxName bounds a file's name, so that what lies beside it has room for the deployment's id.
const maxName = 120

// Place says which files hold one certificate.
type Place struct {
	Certificate string `json:"certificate" help:"File for the certificate alone."`
	Chain       string `json:"chain" help:"File for the certificates of its issuers."`
	FullChain   string `json:"fullchain" help:"File for the certificate followed by its issuers, as nginx wants it."`
	Key         string `json:"key" help:"File for the private key (PKCS #8)."`
	Owner       string `json:"owner" help:"User who owns the files, by name or number; as it is when empty."`
	Group       string `json:"group" help:"Group of the files, by name or number; as it is when empty."`
	Mode        string `json:"mode" help:"Permissions of the certificate files in octal; 0644 when empty."`
	KeyMode     string `json:"keyMode" help:"Permissions of the key file in octal; 0600 when empty, and never for everybody."`
}

// Validate checks what tags cannot say.
func (p Place) Validate() error {
	if p.Certificate == "" && p.FullChain == "" {
		return errors.New(`one of "certificate" and "fullchain" is required`)
	}
	seen := map[string]string{}
	for name, path := range map[string]string{
		"certificate": p.Certificate, "chain": p.Chain, "fullchain": p.FullChain, "key": p.Key,
	} {
		if path == "" {
			continue
		}
		if !filepath.IsAbs(path) || filepath.Clean(path) != path || strings.ContainsRune(path, 0) {
			return fmt.Errorf("setting %q: want an absolute path in its shortest form", name)
		}
		if len(filepath.Base(path)) > maxName {
			return fmt.Errorf("setting %q: the file's name is longer than %d bytes", name, maxName)
		}
		if other, taken := seen[path]; taken {
			return fmt.Errorf("settings %q and %q name the same file", name, other)
		}
		seen[path] = name
	}
	if _, err := parseMode("mode", p.Mode, 0o644); err != nil {
		return err
	}
	mode, err := parseMode("keyMode", p.KeyMode, 0o600)
	if err == nil && mode&0o007 != 0 {
		err = errors.New(`setting "keyMode": a private key is not for everybody; use 0600 or 0640`)
	}
	return err
}

func parseMode(name, s string, none fs.FileMode) (fs.FileMode, error) {
	if s == "" {
		return none, nil
	}
	m, err := strconv.ParseUint(s, 8, 32)
	if err != nil || m > 0o777 || m&0o400 == 0 {
		return 0, fmt.Errorf("setting %q: want octal permissions such as 0640", name)
	}
	return fs.FileMode(m), nil
}

// file is one file of a deployment.
type file struct {
	role         string // which of the Place's files: key, chain, fullchain, certificate
	path         string
	mode         fs.FileMode
	owner, group string
	deployment   string // id

	dir     *directory // where it is, opened
	name    string     // its name there
	content []byte     // what it shall hold; set by render
}

// files lists what the place asks for, the key first: a program that starts in between
// finds no certificate without its key.
func (p Place) files(deployment string) ([]file, error) {
	mode, err := parseMode("mode", p.Mode, 0o644)
	if err != nil {
		return nil, err
	}
	keyMode, err := parseMode("keyMode", p.KeyMode, 0o600)
	if err != nil {
		return nil, err
	}
	var list []file
	for _, f := range []file{
		{role: "key", path: p.Key, mode: keyMode},
		{role: "chain", path: p.Chain, mode: mode},
		{role: "fullchain", path: p.FullChain, mode: mode},
		{role: "certificate", path: p.Certificate, mode: mode},
	} {
		if f.path != "" {
			f.owner, f.group, f.deployment = p.Owner, p.Group, deployment
			list = append(list, f)
		}
	}
	return list, nil
}

// render fills in what each file shall hold, or says why the bundle cannot.
func render(files []file, b connector.Bundle) error {
	if len(b.Certificate) == 0 {
		return fault.New(fault.Invalid, "NoCertificate", "there is no certificate to install")
	}
	certificate, chain := encode(b.Certificate), encode(b.Chain...)
	for i := range files {
		switch f := &files[i]; f.role {
		case "key":
			if err := checkKey(b); err != nil {
				return err
			}
			f.content = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b.Key.Reveal()})
		case "chain":
			if len(chain) == 0 {
				return fault.New(fault.Invalid, "NoChain", "a chain file is asked for, but the certificate has no issuers beside the root")
			}
			f.content = chain
		case "fullchain":
			f.content = slices.Concat(certificate, chain)
		case "certificate":
			f.content = certificate
		}
	}
	return nil
}

func encode(ders ...[]byte) []byte {
	var b bytes.Buffer
	for _, der := range ders {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	return b.Bytes()
}

// checkKey refuses a bundle whose key is missing or belongs to another certificate.
func checkKey(b connector.Bundle) error {
	if b.Key.Empty() {
		return fault.New(fault.Invalid, "NoKey", "a key file is asked for, but the key may not leave its vault; make the certificate's policy exportable or name no key file")
	}
	c, err := x509.ParseCertificate(b.Certificate)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "BadCertificate", "the certificate cannot be read")
	}
	key, err := x509.ParsePKCS8PrivateKey(b.Key.Reveal())
	if err != nil {
		return fault.New(fault.Invalid, "BadKey", "the private key cannot be read")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return fault.New(fault.Invalid, "BadKey", "the private key cannot sign")
	}
	public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(c.PublicKey) {
		return fault.New(fault.Invalid, "OtherKey", "the private key does not belong to the certificate")
	}
	return nil
}
