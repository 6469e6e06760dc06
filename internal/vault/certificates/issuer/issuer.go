// Package issuer keeps the certificate issuers of a vault: who a policy may name besides
// Self and Unknown, and with what account (contract §1.4, §2.6).
package issuer

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/certificates/contact"
	"chatelaine.dev/internal/vault/object"
)

// The providers that an issuer may have.
const (
	// Chatelaine is this installation: the account id names one of its profiles.
	Chatelaine = "Chatelaine"
	// Those of Key Vault can be registered, so that scripts made for it run. They issue
	// nothing here.
	DigiCert   = "DigiCert"
	GlobalSign = "GlobalSign"
	Test       = "Test"
)

func providers() []string { return []string{Chatelaine, DigiCert, GlobalSign, Test} }

// The limits of an issuer.
const (
	MaxText   = 1024 // bytes of a provider, an account, a password, an organisation
	MaxAdmins = 50
)

// Password is what an issuer's account is opened with. It is kept in the sealed row, never
// returned, and never prints.
type Password string

const hidden = "[password]"

// Format hides the password from every verb of fmt.
func (Password) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the password.
func (Password) LogValue() slog.Value { return slog.StringValue(hidden) }

// Issuer is a registered issuer.
type Issuer struct {
	Name         string        `json:"-"` // as first written
	Provider     string        `json:"provider"`
	Credentials  *Credentials  `json:"credentials,omitempty"`
	Organization *Organization `json:"organization,omitempty"`
	Enabled      bool          `json:"enabled"`
	Created      time.Time     `json:"-"`
	Updated      time.Time     `json:"-"`
}

// Credentials open the account at the provider.
type Credentials struct {
	AccountID string   `json:"accountId,omitempty"`
	Password  Password `json:"password,omitempty"`
}

// Organization is whom the provider knows.
type Organization struct {
	ID     string  `json:"id,omitempty"`
	Admins []Admin `json:"admins,omitzero"`
}

// Admin is a person of an organisation.
type Admin struct {
	FirstName string `json:"firstName,omitempty"`
	LastName  string `json:"lastName,omitempty"`
	Email     string `json:"email,omitempty"`
	Phone     string `json:"phone,omitempty"`
}

// Profile is the profile that a Chatelaine issuer stands for.
func (i Issuer) Profile() string {
	if i.Credentials == nil {
		return ""
	}
	return i.Credentials.AccountID
}

// Reserved reports whether a name means no registered issuer.
func Reserved(name string) bool {
	return strings.EqualFold(name, "Self") || strings.EqualFold(name, "Unknown")
}

// NotFound is the error for a name that nobody registered.
func NotFound(name string) error {
	return fault.New(fault.NotFound, "CertificateIssuerNotFound", "A certificate issuer with name %.127s was not found in this key vault. Use Self, Unknown, or register the issuer.", name)
}

func bad(format string, args ...any) error {
	return fault.New(fault.Invalid, "BadParameter", "The certificate issuer cannot be kept: "+format, args...)
}

// check refuses an issuer that cannot be kept. Provider names are told in their own
// spelling, whatever the case they were sent in.
func (i *Issuer) check() error {
	if len(i.Provider) > MaxText {
		return bad("provider is longer than %d bytes.", MaxText)
	}
	known := slices.IndexFunc(providers(), func(p string) bool { return strings.EqualFold(p, i.Provider) })
	if known < 0 {
		return bad("provider is %.40q; use one of %q.", i.Provider, providers())
	}
	i.Provider = providers()[known]
	texts := []string{}
	if c := i.Credentials; c != nil {
		texts = append(texts, c.AccountID, string(c.Password))
	}
	if o := i.Organization; o != nil {
		if len(o.Admins) > MaxAdmins {
			return bad("org_details has %d persons; at most %d are allowed.", len(o.Admins), MaxAdmins)
		}
		texts = append(texts, o.ID)
		for _, a := range o.Admins {
			texts = append(texts, a.FirstName, a.LastName, a.Phone)
			if a.Email != "" && !contact.IsAddress(a.Email) {
				return bad("org_details has %.80q, which is no address of mail.", a.Email)
			}
		}
	}
	for _, text := range texts {
		if len(text) > MaxText {
			return bad("one of its texts is longer than %d bytes.", MaxText)
		}
	}
	return nil
}

// of reads an issuer from its row.
func of(h object.Head) (Issuer, error) {
	var i Issuer
	if err := json.Unmarshal(h.Extra, &i); err != nil {
		return i, fmt.Errorf("certificate issuer %s: %w", h.Name, err)
	}
	i.Name, i.Created, i.Updated = h.Name, h.Created, h.Updated
	return i, nil
}
