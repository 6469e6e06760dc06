// Package object keeps the named, versioned, sealed and soft-deletable things of a
// vault. Keys, secrets and certificates are three kinds of it; what differs between
// them is in their own packages.
package object

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
)

// Kind is one of the three kinds, named as in a URL.
type Kind string

// The kinds.
const (
	Keys         Kind = "keys"
	Secrets      Kind = "secrets"
	Certificates Kind = "certificates"
)

// What a vault keeps for its certificates in the same way, sealed and in the ledger: heads
// without versions.
const (
	Issuers  Kind = "issuers"
	Contacts Kind = "contacts" // one, of the same name
)

// What a Managed HSM keeps besides its keys in the same way, sealed and in the ledger: heads
// without versions.
const (
	RoleDefinitions Kind = "roledefinitions"
	RoleAssignments Kind = "roleassignments"
	Administration  Kind = "hsm"     // settings, security domain, transfer key
	Jobs            Kind = "hsmjobs" // backups and restores
)

// AllKinds are the kinds of rows that a vault may hold.
func AllKinds() []Kind {
	return []Kind{Keys, Secrets, Certificates, Issuers, Contacts, RoleDefinitions, RoleAssignments, Administration, Jobs}
}

// Noun is the kind in the singular, as messages say it.
func (k Kind) Noun() string { return strings.TrimSuffix(string(k), "s") }

// Title is the noun with a capital, as error codes and audit operations begin.
func (k Kind) Title() string {
	n := k.Noun()
	return strings.ToUpper(n[:1]) + n[1:]
}

// Ref names an object, or one version of it.
type Ref struct {
	Vault   string
	Name    string // any case; kept as first written, compared without case
	Version string // 32 hex digits, or empty for the newest
}

// Head is what an object has besides its versions.
type Head struct {
	Name    string          `json:"name"`             // as first written
	Latest  string          `json:"latest"`           // the most recently created version; empty while a certificate is pending
	Created time.Time       `json:"created"`          //
	Updated time.Time       `json:"updated"`          //
	Managed bool            `json:"managed"`          // it belongs to a certificate of the same name
	Deleted time.Time       `json:"deleted,omitzero"` // when it was soft-deleted
	Purge   time.Time       `json:"purge,omitzero"`   // when a deleted object goes for good
	Extra   json.RawMessage `json:"extra,omitempty"`  // the kind's own: rotation policy, certificate policy
}

// Version is one version of an object.
type Version struct {
	ID        string            `json:"id"` // 32 hex digits
	Created   time.Time         `json:"created"`
	Updated   time.Time         `json:"updated"`
	Enabled   bool              `json:"enabled"`
	NotBefore time.Time         `json:"notBefore,omitzero"`
	Expires   time.Time         `json:"expires,omitzero"`
	Tags      map[string]string `json:"tags,omitempty"`
	Managed   bool              `json:"managed,omitempty"`
	Body      json.RawMessage   `json:"body"` // the kind's own: value, key material, certificate
}

// Attributes are what a caller may set on a version. A nil field stays as it is.
type Attributes struct {
	Enabled   *bool
	NotBefore *time.Time
	Expires   *time.Time
	Tags      map[string]string // replaces all tags; an empty map removes them
}

// Apply changes v as a says.
func (a Attributes) Apply(v *Version) {
	if a.Enabled != nil {
		v.Enabled = *a.Enabled
	}
	if a.NotBefore != nil {
		v.NotBefore = *a.NotBefore
	}
	if a.Expires != nil {
		v.Expires = *a.Expires
	}
	if a.Tags != nil {
		v.Tags = a.Tags
	}
}

// Limits of contract §2.4, which an operator may widen. The zero value of each stands for
// Azure's.
type Limits struct {
	SecretBytes    int // of a secret's value; 25,600
	Tags           int // of a version; 15
	BackupVersions int // of an object in a backup; 500
}

// Complete puts Azure's limits where none is set.
func (l Limits) Complete() Limits {
	return Limits{SecretBytes: cmp.Or(l.SecretBytes, 25*1024), Tags: cmp.Or(l.Tags, 15), BackupVersions: cmp.Or(l.BackupVersions, 500)}
}

// MaxTagSize bounds the name and the value of a tag (contract §2.4), in bytes.
const MaxTagSize = 256

// Check refuses attributes that no version may have.
func (a Attributes) Check(l Limits) error {
	if len(a.Tags) > l.Tags {
		return fault.New(fault.Invalid, "BadParameter", "%d tags were sent; at most %d are allowed", len(a.Tags), l.Tags)
	}
	for k, v := range a.Tags {
		if len(k) > MaxTagSize || len(v) > MaxTagSize || k == "" {
			return fault.New(fault.Invalid, "BadParameter", "the tag %.40q is too long or has no name; a name or value may have %d characters", k, MaxTagSize)
		}
	}
	if a.NotBefore != nil && a.Expires != nil && !a.Expires.IsZero() && a.Expires.Before(*a.NotBefore) {
		return fault.New(fault.Invalid, "BadParameter", "the attribute exp must not be earlier than nbf")
	}
	return nil
}

// NewVersionID makes the id of a version: 32 hex digits.
func NewVersionID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

const maxName = 127

// isName reports whether text has only what a name may have.
func isName(text string) bool {
	for i := range len(text) {
		c := text[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return text != "" && len(text) <= maxName
}

// isVersion reports whether text is the id of a version, in any case.
func isVersion(text string) bool {
	for i := range len(text) {
		c := text[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return len(text) == 32
}

// CheckName refuses names that contract §2.4 does not allow.
func CheckName(name string) error {
	if !isName(name) {
		return fault.New(fault.Invalid, "BadParameter", "The request URI contains an invalid name: %.127s. A name has 1 to 127 letters, digits and hyphens.", name)
	}
	return nil
}

func notFound(k Kind, name, version string) error {
	id := name
	if version != "" {
		id += "/" + version
	}
	return fault.New(fault.NotFound, k.Title()+"NotFound",
		"A %s with (name/id) %s was not found in this key vault. If you recently deleted this %s you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182",
		k.Noun(), id, k.Noun())
}

func deletedNotFound(k Kind, name string) error {
	return fault.New(fault.NotFound, k.Title()+"NotFound", "Deleted %s %s was not found in this key vault. It was never deleted, or was recovered or purged.", k.Noun(), name)
}

func isDeleted(k Kind, name string) error {
	return fault.New(fault.Conflict, "ObjectIsDeletedButRecoverable",
		"%s %s is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the %s can only be recovered or purged.",
		k.Title(), name, k.Noun())
}

func isManaged(k Kind, op string) error {
	return fault.New(fault.Denied, "ManagedObject", "Operation %s is not allowed on a %s that belongs to a certificate; use the certificate of the same name.", op, k.Noun())
}
