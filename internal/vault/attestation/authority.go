package attestation

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keys/releasepolicy"
)

// authority is what is known of one attestation service.
type authority struct {
	used time.Time // guarded by Authorities.mu

	mu   sync.Mutex // one fetch at a time
	keys []jose.JSONWebKey
	got  time.Time // when the keys came
	last time.Time // when they were last asked for
	err  error     // of that time
}

const (
	keysLast   = time.Hour        // then they are asked for again
	keysAtMost = 24 * time.Hour   // keys that could not be renewed are of no use after that
	pause      = 10 * time.Second // between two fetches from one service, whoever makes us want one
	maxKnown   = 256              // services
	maxKeys    = 100              // of a service
)

// Check makes sure that an authority which a policy names can be asked.
func (a *Authorities) Check(ctx context.Context, url string) error {
	_, err := a.keys(ctx, url, "")
	return err
}

// keys returns the keys of an authority with the id, or all for "". An id that is not
// known makes it ask again, for services change their keys.
func (a *Authorities) keys(ctx context.Context, url, kid string) ([]jose.JSONWebKey, error) {
	if err := releasepolicy.CheckAuthority(url); err != nil {
		return nil, err
	}
	if a.Permits != nil && !a.Permits(url) {
		return nil, fault.New(fault.Invalid, "BadParameter", "The attestation authority %.200s is not one that the operator of this vault allows.", url)
	}
	x := a.of(url)
	x.mu.Lock()
	defer x.mu.Unlock()
	now := a.Now()
	found := with(x.keys, kid)
	if fresh := now.Sub(x.got) < keysLast; (len(found) > 0 && fresh) || now.Sub(x.last) < pause {
		return x.answer(found, now)
	}
	keys, err := a.fetch(ctx, url)
	if ctx.Err() != nil { // the caller has gone: that says nothing of the service
		return nil, ctx.Err()
	}
	if x.last, x.err = now, err; err == nil {
		x.keys, x.got = keys, now
	}
	return x.answer(with(x.keys, kid), now)
}

// answer gives what is known. While a service is away, keys that it gave a short time ago
// still count.
func (x *authority) answer(found []jose.JSONWebKey, now time.Time) ([]jose.JSONWebKey, error) {
	if x.err != nil && (len(found) == 0 || now.Sub(x.got) > keysAtMost) {
		return nil, x.err
	}
	return found, nil
}

// of returns the entry of an authority. When there are too many, the one that was not
// asked for longest makes room.
func (a *Authorities) of(url string) *authority {
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.known[url]
	if x == nil {
		if len(a.known) >= maxKnown {
			oldest := slices.MinFunc(slices.Collect(maps.Keys(a.known)), func(m, n string) int {
				return a.known[m].used.Compare(a.known[n].used)
			})
			delete(a.known, oldest)
		}
		x = &authority{}
		a.known[url] = x
	}
	x.used = a.Now()
	return x
}

// with returns the keys of an id. A token without one may be signed by any.
func with(keys []jose.JSONWebKey, kid string) []jose.JSONWebKey {
	if kid == "" {
		return keys
	}
	var found []jose.JSONWebKey
	for _, k := range keys {
		if k.KeyID == kid {
			found = append(found, k)
		}
	}
	return found
}

// fetch asks an authority for its keys.
func (a *Authorities) fetch(ctx context.Context, url string) ([]jose.JSONWebKey, error) {
	away := func(err error) error {
		return fault.Wrap(fmt.Errorf("attestation authority %s: %w", url, err), fault.Invalid, "BadParameter",
			fmt.Sprintf("The attestation authority %.200s cannot be used: it must answer /.well-known/openid-configuration and publish its keys.", url))
	}
	b, err := a.Fetcher.Fetch(ctx, strings.TrimRight(url, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, away(err)
	}
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(b, &about); err != nil {
		return nil, away(fmt.Errorf("openid-configuration: %w", err))
	}
	if !releasepolicy.Same(about.Issuer, url) { // OpenID Connect Discovery 1.0 section 4.3
		return nil, away(fmt.Errorf("it calls itself %.200q", about.Issuer))
	}
	if !strings.HasPrefix(about.Keys, "https://") {
		return nil, away(fmt.Errorf("its keys are at %.200q, not at an https:// address", about.Keys))
	}
	if b, err = a.Fetcher.Fetch(ctx, about.Keys); err != nil {
		return nil, away(err)
	}
	keys, err := parseKeys(b)
	if err != nil {
		return nil, away(err)
	}
	return keys, nil
}

// parseKeys reads a JWK set (RFC 7517 section 5). What is no public key for signatures is
// passed over.
func parseKeys(b []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys[:min(len(set.Keys), maxKeys)] {
		if k, ok := parseKey(raw); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of its %d keys is one to verify signatures by", len(set.Keys))
	}
	return keys, nil
}

// parseKey reads one key. Azure's attestation service publishes certificates alone, in
// x5c, without the numbers of the key.
func parseKey(raw json.RawMessage) (k jose.JSONWebKey, ok bool) {
	var about struct {
		KeyID     string   `json:"kid"`
		Use       string   `json:"use"`
		Algorithm string   `json:"alg"`
		Chain     []string `json:"x5c"`
		N         string   `json:"n"`
		X         string   `json:"x"`
	}
	if json.Unmarshal(raw, &about) != nil || (about.Use != "" && about.Use != "sig") {
		return k, false
	}
	if about.N == "" && about.X == "" && len(about.Chain) > 0 {
		der, err := base64.StdEncoding.DecodeString(about.Chain[0])
		if err != nil {
			return k, false
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return k, false
		}
		k = jose.JSONWebKey{Key: cert.PublicKey, KeyID: about.KeyID, Algorithm: about.Algorithm}
	} else if json.Unmarshal(raw, &k) != nil {
		return k, false
	}
	switch pub := k.Key.(type) {
	case *rsa.PublicKey:
		return k, pub.N.BitLen() >= minRSA && pub.N.BitLen() <= maxRSA
	case *ecdsa.PublicKey:
		return k, true
	}
	return k, false // a shared or a private key has no place here
}
