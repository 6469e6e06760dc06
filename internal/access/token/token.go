// Package token issues and verifies access tokens: signed, short-lived JWTs with the
// claims that Key Vault reads (contract: azure-key-vault.md §2.1).
package token

import (
	"crypto/sha256"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/audit"
)

const (
	defaultLifetime = time.Hour
	skew            = time.Minute // that clocks of two nodes may differ
	maxToken        = 8 << 10     // bytes of a token; ours have about 900
)

// Config is what the token service needs.
type Config struct {
	Directory *directory.Directory
	Audit     audit.Recorder
	// Refusals takes what failed; the caller flushes it.
	Refusals *access.Refusals
	// Domain is the host of issuer and audience: tokens are for https://{Domain}, with any
	// port that a client reaches it at.
	Domain string
	// Audiences are accepted as well, such as https://vault.azure.net for clients that
	// insist on it.
	Audiences []string
	// Lifetime of a token; an hour when zero.
	Lifetime time.Duration
	Now      func() time.Time
	Log      *slog.Logger
}

// Service issues and verifies tokens. It is safe for concurrent use.
type Service struct {
	directory *directory.Directory
	audit     audit.Recorder
	refusals  *access.Refusals
	domain    string
	extra     map[string]bool // folded
	lifetime  time.Duration
	now       func() time.Time
	log       *slog.Logger
	cache     cache

	reloading sync.Mutex
	reloaded  time.Time // when an unknown key last made us look for new ones
}

// New makes the service.
func New(c Config) *Service {
	s := &Service{
		directory: c.Directory, audit: c.Audit, refusals: c.Refusals, domain: strings.ToLower(c.Domain), extra: map[string]bool{},
		lifetime: c.Lifetime, now: c.Now, log: c.Log, cache: cache{verified: map[[sha256.Size]byte]verified{}},
	}
	if s.lifetime <= 0 {
		s.lifetime = defaultLifetime
	}
	for _, a := range c.Audiences {
		s.extra[fold(a)] = true
	}
	return s
}

// Form is a dialect of the token endpoint; it decides the issuer and the version.
type Form string

// The forms.
const (
	V1   Form = "1.0"  // Entra ID's /{tenant}/oauth2/token
	V2   Form = "2.0"  // Entra ID's /{tenant}/oauth2/v2.0/token
	ADFS Form = "adfs" // AD FS's /adfs/oauth2/token
)

// Issuer returns the issuer of a form for clients that reach the product at base, such as
// https://example.com:8443. OIDC discovery stands below it.
func (s *Service) Issuer(base string, f Form) string {
	switch f {
	case V1:
		return base + "/" + s.directory.Tenant() + "/"
	case ADFS:
		return base + "/adfs"
	default:
		return base + "/" + s.directory.Tenant() + "/v2.0"
	}
}

// issued reports whether the issuer is one of ours, at any port: the port is where a
// client was at that time, behind whatever stood before us.
func (s *Service) issued(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" || !strings.EqualFold(u.Hostname(), s.domain) {
		return false
	}
	for _, f := range []Form{V1, V2, ADFS} {
		if issuer == s.Issuer("https://"+u.Host, f) {
			return true
		}
	}
	return false
}

// fold returns the one form of an audience: lower case, without a slash at the end.
func fold(audience string) string {
	return strings.ToLower(strings.TrimSuffix(audience, "/"))
}

// known reports whether tokens are issued for the resource: for our domain at any port,
// and for what was configured.
func (s *Service) known(resource string) bool {
	folded := fold(resource)
	if s.extra[folded] {
		return true
	}
	u, err := url.Parse(folded)
	return err == nil && u.Scheme == "https" && u.Hostname() == s.domain && u.Path == "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// meant reports whether a token with the audience is meant for the expected one, which it
// may name without the port.
func (s *Service) meant(audience, expected string) bool {
	audience, expected = fold(audience), fold(expected)
	return audience == expected || s.extra[audience] || audience == withoutPort(expected)
}

func withoutPort(resource string) string {
	scheme, host, ok := strings.Cut(resource, "://")
	if name, _, err := net.SplitHostPort(host); ok && err == nil {
		return scheme + "://" + name
	}
	return resource
}

// KeySet returns the public keys that tokens verify with (RFC 7517).
func (s *Service) KeySet() jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	for _, k := range s.directory.SigningKeys() {
		if s.verifies(k) {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Public(), KeyID: k.ID, Algorithm: string(jose.ES256), Use: "sig"})
		}
	}
	return set
}

// verifies reports whether tokens of the key can still be good.
func (s *Service) verifies(k directory.SigningKey) bool {
	return k.Retired.IsZero() || s.now().Before(k.Retired.Add(s.lifetime+skew))
}

// claims of a token. Those from "uti" on are ours: they bind the token to the credential
// and the principal's epoch, so that it ends with them.
type claims struct {
	Audience   string `json:"aud"`
	Issuer     string `json:"iss"`
	IssuedAt   int64  `json:"iat"`
	NotBefore  int64  `json:"nbf"`
	Expires    int64  `json:"exp"`
	AppID      string `json:"appid,omitempty"`
	AZP        string `json:"azp,omitempty"`
	ACR        string `json:"appidacr,omitempty"` // 1: the client showed a secret
	AZPACR     string `json:"azpacr,omitempty"`
	Type       string `json:"idtyp"`
	Object     string `json:"oid"`
	Subject    string `json:"sub"`
	Tenant     string `json:"tid"`
	Version    string `json:"ver"`
	ID         string `json:"uti"`
	Credential string `json:"chatelaine_credential"`
	Epoch      int64  `json:"chatelaine_epoch"`
}
