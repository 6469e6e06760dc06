// Package attestation verifies what attestation services say about an environment: JSON
// Web Tokens, signed by keys that the service publishes by OpenID discovery. Nothing in
// a token tells where its keys are; that is the release policy's word alone.
package attestation

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keys/releasepolicy"
)

// Fetcher gets a document from an attestation service. Whoever implements it decides
// which addresses may be reached, follows no redirect, and bounds time and size.
type Fetcher interface {
	Fetch(ctx context.Context, url string) ([]byte, error)
}

// Config is what Authorities need.
type Config struct {
	Fetcher Fetcher
	// Permits says whether the operator lets policies name an authority; nil permits all.
	Permits func(authority string) bool
	Now     func() time.Time
}

// Authorities know the signing keys of attestation services. It is safe for concurrent use.
type Authorities struct {
	Config
	mu    sync.Mutex
	known map[string]*authority // by URL as first asked for
}

// New makes an empty memory of authorities.
func New(c Config) *Authorities { return &Authorities{Config: c, known: map[string]*authority{}} }

// MaxToken bounds a token. Those of real services have 5 to 20 KiB.
const MaxToken = 128 << 10

// skew is how far the clocks of a service and ours may be apart.
const skew = time.Minute

// algorithms are all that a token may be signed with. Keyed hashes and none are not among
// them, so a public key is never taken for a shared one.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
	}
}

// Statement is a verified token.
type Statement struct {
	Authority string // the one that signed it, as the policy names it
	Claims    releasepolicy.Claims
}

// Verify checks a token by the keys of that one of the authorities which it names as its
// issuer. The error of a token that is not good is fault.Denied and says nothing of why;
// its cause is for the log.
func (a *Authorities) Verify(ctx context.Context, token string, authorities []string) (Statement, error) {
	s, err := a.verify(ctx, token, authorities)
	if err != nil {
		return Statement{}, fault.Wrap(err, fault.Denied, "AccessDenied", "Target environment attestation statement cannot be verified.")
	}
	return s, nil
}

func (a *Authorities) verify(ctx context.Context, token string, authorities []string) (Statement, error) {
	var s Statement
	if len(token) > MaxToken {
		return s, fmt.Errorf("the token has more than %d bytes", MaxToken)
	}
	signed, err := jose.ParseSignedCompact(token, algorithms())
	if err != nil {
		return s, fmt.Errorf("parse: %w", err)
	}
	var claimed jwt.Claims
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claimed); err != nil {
		return s, fmt.Errorf("claims: %w", err)
	}
	i := slices.IndexFunc(authorities, func(x string) bool { return releasepolicy.Same(x, claimed.Issuer) })
	if i < 0 {
		return s, fmt.Errorf("the issuer %.200q is no authority of the policy", claimed.Issuer)
	}
	s.Authority = authorities[i]
	keys, err := a.keys(ctx, s.Authority, signed.Signatures[0].Header.KeyID)
	if err != nil {
		return s, err
	}
	payload, err := signedBy(signed, keys)
	if err != nil {
		return s, err
	}
	if err := a.checkTimes(claimed); err != nil {
		return s, err
	}
	return s, json.Unmarshal(payload, &s.Claims)
}

// signedBy returns the payload when one of the keys signed it.
func signedBy(signed *jose.JSONWebSignature, keys []jose.JSONWebKey) ([]byte, error) {
	err := errors.New("no key of the authority has the token's kid")
	for _, k := range keys {
		if k.Algorithm != "" && k.Algorithm != signed.Signatures[0].Header.Algorithm {
			err = fmt.Errorf("the key %q is for %s", k.KeyID, k.Algorithm)
			continue
		}
		var payload []byte
		if payload, err = signed.Verify(k.Key); err == nil {
			return payload, nil
		}
	}
	return nil, fmt.Errorf("signature: %w", err)
}

func (a *Authorities) checkTimes(c jwt.Claims) error {
	now := a.Now()
	switch {
	case c.Expiry == nil:
		return errors.New("the token never expires")
	case !now.Before(c.Expiry.Time()):
		return fmt.Errorf("the token expired at %s", c.Expiry.Time().UTC().Format(time.RFC3339))
	case c.NotBefore != nil && now.Add(skew).Before(c.NotBefore.Time()):
		return fmt.Errorf("the token is not valid before %s", c.NotBefore.Time().UTC().Format(time.RFC3339))
	case c.IssuedAt != nil && now.Add(skew).Before(c.IssuedAt.Time()):
		return fmt.Errorf("the token was issued at %s, which is to come", c.IssuedAt.Time().UTC().Format(time.RFC3339))
	}
	return nil
}

// minRSA is the size of the smallest key that a released key is wrapped for.
const minRSA, maxRSA = 2048, 8192

// Recipient is the key that a statement names for what is sent to its environment: an
// RSA key among the runtime claims that is for encryption (x-ms-runtime.keys).
func (s Statement) Recipient() (kid string, key *rsa.PublicKey, err error) {
	var runtime struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if raw, ok := s.Claims["x-ms-runtime"]; ok {
		if err := json.Unmarshal(raw, &runtime); err != nil {
			return "", nil, fmt.Errorf("x-ms-runtime: %w", err)
		}
	}
	for _, raw := range runtime.Keys[:min(len(runtime.Keys), maxKeys)] {
		var use struct {
			Use string   `json:"use"`
			Ops []string `json:"key_ops"`
		}
		var k jose.JSONWebKey
		if json.Unmarshal(raw, &use) != nil || json.Unmarshal(raw, &k) != nil {
			continue
		}
		pub, ok := k.Key.(*rsa.PublicKey)
		encrypts := use.Use == "enc" || slices.Contains(use.Ops, "encrypt") || slices.Contains(use.Ops, "wrapKey")
		if ok && encrypts && pub.N.BitLen() >= minRSA && pub.N.BitLen() <= maxRSA {
			return k.KeyID, pub, nil
		}
	}
	return "", nil, errors.New("x-ms-runtime.keys has no RSA key of 2048 bits or more for encryption")
}
