// Package profile says what a certificate may look like and which authority issues it.
// A profile is data; the rules that read it are a chain of small pure functions.
package profile

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Profile is one kind of certificate.
type Profile struct {
	Name  string `json:"name"`  // "tls-server"
	Title string `json:"title"` // one line for people

	// Authorities may issue it. The first is taken when a request names none.
	Authorities []string `json:"authorities"`
	// Approval says that a person agrees before anything is issued.
	Approval bool `json:"approval"`

	// Keys that may be certified: "RSA 2048", "P-256", "Ed25519", "ML-DSA-44" and their kin.
	Keys []string `json:"keys"`
	// KeyUsage is set for every key, KeyUsageRSA for RSA keys besides. Names of RFC 5280
	// section 4.2.1.3, without those of authorities.
	KeyUsage    []string `json:"keyUsage"`
	KeyUsageRSA []string `json:"keyUsageRSA,omitempty"`
	// ExtendedKeyUsage is never empty: a certificate without it is good for any purpose.
	// Names such as "serverAuth", or object identifiers.
	ExtendedKeyUsage         []string `json:"extendedKeyUsage"`
	ExtendedKeyUsageCritical bool     `json:"extendedKeyUsageCritical,omitempty"`

	Subject  SubjectRules  `json:"subject,omitempty"`
	Names    NameRules     `json:"names"`
	Validity ValidityRules `json:"validity"`

	// NoRevocation says that no revocation information will ever be published (RFC 9608):
	// the certificates are too short-lived to need any.
	NoRevocation bool `json:"noRevocation,omitempty"`
	// Policies are object identifiers of certificate policies (RFC 5280 section 4.2.1.4).
	Policies   []string    `json:"policies,omitempty"`
	Extensions []Extension `json:"extensions,omitempty"`
	// Publish puts the certificate itself into the event of its issuance, for subscribers
	// that publish it, such as in a directory of addresses.
	Publish bool `json:"publish,omitempty"`

	// Standards that the certificates claim to meet, besides RFC 5280 and its kin: names
	// of lint sources, such as "CABF_BR" for a publicly trusted server. The validity keeps
	// to their dated limits.
	Standards []string `json:"standards,omitempty"`

	// Doors are the protocols that lead here, besides the API.
	Doors Doors `json:"doors,omitzero"`
}

// Common name rules.
const (
	CommonNameNone  = "none"  // the subject is empty
	CommonNameFirst = "first" // one of the names, or the first that fits when none is asked for
	CommonNameFree  = "free"  // any text that is asked for, else as "first"
)

// NameRules say which names a certificate may hold.
type NameRules struct {
	CommonName  string `json:"commonName"`
	Min         int    `json:"min"` // alternative names at least
	Max         int    `json:"max"` // and at most
	DNS         bool   `json:"dns"`
	Wildcard    bool   `json:"wildcard"`    // *.example.com
	SingleLabel bool   `json:"singleLabel"` // localhost
	IP          bool   `json:"ip"`
	Email       bool   `json:"email"`
	URI         bool   `json:"uri"`

	// Allowed are the names that may be asked for, as the function Allowed reads them; of
	// e-mail addresses and URIs it looks at the host. None: every name.
	Allowed []string `json:"allowed,omitempty"`
	// Patterns are regular expressions (RE2), of which each name matches one as a whole.
	Patterns []string `json:"patterns,omitempty"`
	// CommonNamePattern is one for a common name that is free.
	CommonNamePattern string `json:"commonNamePattern,omitempty"`
	// Fixed are names that every certificate has besides.
	Fixed Names `json:"fixed,omitzero"`
}

// ValidityRules say for how long. A certificate counts from its first to its last
// second, both included.
type ValidityRules struct {
	Default  Duration `json:"default"`
	Min      Duration `json:"min"`
	Max      Duration `json:"max"`
	Backdate Duration `json:"backdate"` // notBefore lies this far back, for clocks that are slow
}

// Duration is a time.Duration that JSON writes as "90d", "36h" or "5m".
type Duration time.Duration

const day = 24 * time.Hour

// String writes whole days as "90d".
func (d Duration) String() string {
	if t := time.Duration(d); t != 0 && t%day == 0 {
		return strconv.FormatInt(int64(t/day), 10) + "d"
	}
	return time.Duration(d).String()
}

// MarshalJSON writes what UnmarshalJSON reads.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a number of days ("90d") or what time.ParseDuration reads.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 36500 {
			return fmt.Errorf("duration %q: want a number of days up to 36500, such as 90d", s)
		}
		*d = Duration(time.Duration(n) * day)
		return nil
	}
	t, err := time.ParseDuration(s)
	if err != nil {
		return err
	}
	*d = Duration(t)
	return nil
}
