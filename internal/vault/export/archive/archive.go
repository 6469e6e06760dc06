// Package archive is the file of an export: a tar of JSON, PEM and PFX that is read
// without Chatelaine (docs/operate/export.md). Encryption goes around it.
//
// It holds README.txt and vault.json, then the objects, then manifest.json. Of an object
// the files of its versions come first and its own, object.json, last:
//
//	secrets/db-password/0123…cdef.json
//	secrets/db-password/object.json
//	keys/signer/89ab…4567.pem
//	keys/signer/89ab…4567.json
//	keys/signer/object.json
//
// After every sumsPart files comes a list of their SHA-256 in the form of sha256sum.
package archive

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"chatelaine.dev/internal/vault/object"
)

// Format names what this package writes, and the only thing that it reads.
const Format = "chatelaine-vault/1"

// Vault is vault.json: where the export comes from.
type Vault struct {
	Format   string          `json:"format"`
	Name     string          `json:"name"`
	Kind     string          `json:"kind"` // vault or hsm
	Exported time.Time       `json:"exported"`
	Request  string          `json:"request,omitempty"` // id of the request
	Keys     bool            `json:"keys"`              // private keys were asked for
	Settings json.RawMessage `json:"settings"`
}

// Object is object.json: what a key, secret or certificate is besides its versions.
// Issuers and contacts have no versions.
type Object struct {
	Kind     object.Kind     `json:"kind"`
	Name     string          `json:"name"` // as first written
	Created  time.Time       `json:"created"`
	Updated  time.Time       `json:"updated"`
	Managed  bool            `json:"managed,omitempty"` // it belongs to the certificate of the same name
	Deleted  time.Time       `json:"deleted,omitzero"`
	Purge    time.Time       `json:"purge,omitzero"`    // when a deleted object goes for good
	Versions []string        `json:"versions"`          // oldest first; the last is the latest
	Policy   json.RawMessage `json:"policy,omitempty"`  // of a key its rotation, of a certificate its policy
	Content  json.RawMessage `json:"content,omitempty"` // of an issuer, and of the contacts
}

// Version is {version}.json. One of Secret, Key and Certificate is there.
type Version struct {
	ID        string            `json:"id"` // 32 hex digits
	Created   time.Time         `json:"created"`
	Updated   time.Time         `json:"updated"`
	Enabled   bool              `json:"enabled"`
	NotBefore time.Time         `json:"notBefore,omitzero"`
	Expires   time.Time         `json:"expires,omitzero"`
	Tags      map[string]string `json:"tags,omitempty"`
	Managed   bool              `json:"managed,omitempty"`

	Secret      *Secret      `json:"secret,omitempty"`
	Key         *Key         `json:"key,omitempty"`
	Certificate *Certificate `json:"certificate,omitempty"`

	// LeftBehind says why the private half is not in the file.
	LeftBehind string `json:"leftBehind,omitempty"`
	// Files are the version's other files: beside its name, what they hold.
	Files []File `json:"-"`
}

// Secret is the value of a secret. A PKCS #12 file of a certificate stands in a file of
// its own instead, decoded from base64.
type Secret struct {
	Value       *Hidden `json:"value,omitempty"`
	File        string  `json:"file,omitempty"`
	ContentType string  `json:"contentType,omitempty"`
	Previous    string  `json:"previous,omitempty"` // the version before this one
}

// Key is a key. Its private half is in a file: PKCS #8 in PEM, or a JSON Web Key if it is
// symmetric.
type Key struct {
	Properties json.RawMessage `json:"properties"` // the public half as a JSON Web Key, and what the vault says of the key
	File       string          `json:"file,omitempty"`
}

// Certificate is a certificate. The file has it and its chain in PEM, the certificate first.
type Certificate struct {
	File          string `json:"file"`
	PreserveOrder bool   `json:"preserveOrder,omitempty"` // the secret keeps the order of the chain that was sent
	Exportable    bool   `json:"exportable,omitempty"`    // the secret holds the private key
}

// File is a file of a version.
type File struct {
	Suffix  string // pem, jwk or pfx
	Content []byte
}

// Format hides the content.
func (f File) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, f.Suffix+" "+hidden) }

// LogValue hides the content.
func (f File) LogValue() slog.Value { return slog.StringValue(f.Suffix + " " + hidden) }

// Hidden is the value of a secret. It never prints.
type Hidden string

const hidden = "[secret]"

// Format hides the value.
func (Hidden) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the value.
func (Hidden) LogValue() slog.Value { return slog.StringValue(hidden) }

// LeftBehind is something that is not in the file, or not whole.
type LeftBehind struct {
	Kind    object.Kind `json:"kind"`
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	Reason  string      `json:"reason"`
}

// Manifest is manifest.json, the last file.
type Manifest struct {
	Format     string              `json:"format"`
	Objects    map[object.Kind]int `json:"objects"`  // how many
	Versions   map[object.Kind]int `json:"versions"` // how many
	Files      int                 `json:"files"`    // before this one, without the lists of sums
	Sums       []Sum               `json:"sums"`     // the lists of sums
	LeftBehind []LeftBehind        `json:"leftBehind"`
	// LeftBehindMore is how many more there are than LeftBehind lists; each version says
	// it for itself too.
	LeftBehindMore int `json:"leftBehindMore,omitempty"`
}

// Sum is the SHA-256 of a list of sums.
type Sum struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

const (
	readmeFile   = "README.txt"
	vaultFile    = "vault.json"
	objectFile   = "object.json"
	manifestFile = "manifest.json"

	sumsPart      = 10_000 // files in a list of sums
	maxLeftBehind = 5_000  // in the manifest
)

func sumsFile(part int) string { return fmt.Sprintf("SHA256SUMS.%04d", part) }

const readme = `This is the content of a vault of Chatelaine, readable without Chatelaine.

  vault.json                    the vault that it was, and its settings
  secrets/NAME/VERSION.json     a version of a secret, with its value;
                                the PKCS #12 file of a certificate is beside it
  keys/NAME/VERSION.json        a version of a key: its public half (RFC 7517) and what it may do
  keys/NAME/VERSION.pem         its private half (PKCS #8); VERSION.jwk if it is symmetric
  certificates/NAME/VERSION.pem a version of a certificate with its chain
  KIND/NAME/object.json         the versions in their order, policies, and when it was deleted
  manifest.json                 how much there is, and what is not here, with the reason

A certificate has a key and a secret of the same name and version.

To check that every file is whole:   cat SHA256SUMS.* | sha256sum -c --quiet
To look at a secret:                 jq -r .secret.value secrets/NAME/VERSION.json
To use a private key:                openssl pkey -in keys/NAME/VERSION.pem -noout -text

Whoever reads this folder has what the vault kept. Delete it as soon as it is not needed.
`
