// Package passcode keeps one-time passwords for enrolment: each lets a machine that is
// nobody's principal have one certificate, by one profile, through one door, for names
// that were said beforehand. EST takes them as the password of HTTP Basic (RFC 7030
// section 3.2.3), SCEP as the challengePassword of the CSR (RFC 8894 section 2.4).
package passcode

import (
	"context"
	"slices"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/profile"
)

// The actions of this service, at "/". Whoever makes a passcode must hold the right to
// issue by its profile besides: a passcode gives no more than its maker has.
const (
	Read  access.Action = "Chatelaine/passcodes/read"
	Write access.Action = "Chatelaine/passcodes/write"
)

// Prefix begins every passcode.
const Prefix = "che_"

// The doors that take passcodes.
const (
	EST  = "est"
	SCEP = "scep"
)

// Passcode is a one-time password, without the password.
type Passcode struct {
	ID      string    `json:"id"`
	Door    string    `json:"door"`
	Profile string    `json:"profile"`
	Names   []string  `json:"names"` // that may be asked for, as Covers reads them
	Comment string    `json:"comment,omitempty"`
	Maker   string    `json:"maker"` // principal
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Spent   time.Time `json:"spent,omitzero"` // when it was used
}

// Entry is a passcode as the Store keeps it.
type Entry struct {
	Passcode
	Digest   string `json:"-"` // of the password, hex
	SpentFor string `json:"-"` // SHA-256 of the CSR that it was used for, hex
}

// Store keeps passcodes. Every method joins the transaction of ctx. What is not there is
// fault.NotFound.
type Store interface {
	InsertPasscode(ctx context.Context, e Entry) error
	Passcode(ctx context.Context, id string) (Entry, error)
	PasscodeByDigest(ctx context.Context, digest string) (Entry, error)
	// Passcodes returns up to limit, newest first, after the id.
	Passcodes(ctx context.Context, after string, limit int) ([]Entry, error)
	// SpendPasscode notes that it is used for a CSR; fault.Conflict when it is for another.
	// An empty csr makes it unused again.
	SpendPasscode(ctx context.Context, id, csr string, at time.Time) error
	DeletePasscode(ctx context.Context, id string) error
	// ForgetPasscodes removes those that expired before a time.
	ForgetPasscodes(ctx context.Context, before time.Time) error
}

// Covers reports whether one of the patterns allows a name of any kind: it is the name
// itself, in any case, or one that profile.Allowed matches, or "*".
func Covers(patterns []string, name string) bool {
	return profile.Allowed(patterns, name) || slices.ContainsFunc(patterns, func(p string) bool { return p == "*" || strings.EqualFold(p, name) })
}

// Outside returns the first of the names that the patterns do not allow.
func Outside(patterns, names []string) (name string, outside bool) {
	i := slices.IndexFunc(names, func(n string) bool { return !Covers(patterns, n) })
	if i < 0 {
		return "", false
	}
	return names[i], true
}
