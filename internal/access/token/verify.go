package token

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
)

// Missing is the error of a request without a token, in Key Vault's words.
func Missing() error {
	return fault.New(fault.Unauthenticated, "MissingToken", "AKV10000: Request is missing a Bearer or PoP token.")
}

// Authenticate verifies a token for the audience, such as https://example.com:8443, and
// returns whose it is. Every error is fault.Unauthenticated with Key Vault's words
// (AKV10022…), but for one of the audit trail. After first sight a token costs a hash and
// three look-ups in memory; it ends at its expiry, and as soon as its principal is
// disabled or deleted or its credential removed.
func (s *Service) Authenticate(ctx context.Context, text, audience string) (access.Caller, error) {
	var room [1536]byte // ours fit: no copy on the heap
	key := sha256.Sum256(append(room[:0], text...))
	v, ok := s.cache.get(key)
	if !ok {
		var err error
		if v, err = s.verify(ctx, text); err != nil {
			return access.Caller{}, s.distrust(ctx, err)
		}
		s.cache.put(key, v, s.now())
	}
	if !s.now().Before(v.expires) {
		s.cache.drop(key)
		return access.Caller{}, s.distrust(ctx, fault.New(fault.Unauthenticated, "TokenExpired",
			"The token expired at %s; get a new one.", v.expires.Format(time.RFC3339)))
	}
	if !s.meant(v.audience, audience) {
		return access.Caller{}, s.distrust(ctx, fault.New(fault.Unauthenticated, "InvalidAudience",
			"AKV10022: Invalid audience. Expected %s, found: %.200s.", audience, v.audience))
	}
	p, err := s.directory.Find(v.caller.Principal)
	if err != nil || p.Epoch != v.epoch || !s.directory.Holds(p.ID, v.credential) {
		s.cache.drop(key)
		return access.Caller{}, s.distrust(ctx, fault.New(fault.Unauthenticated, "TokenRevoked",
			"The token was revoked: its account was disabled or its secret removed. Get a new one."))
	}
	c := v.caller
	c.Name = p.Name
	return c, nil
}

// distrust counts a refused token and returns its error.
func (s *Service) distrust(ctx context.Context, refusal error) error {
	f := fault.Of(refusal)
	if f.Kind != fault.Unauthenticated {
		return refusal
	}
	r := access.Caller{}.Record("Authentication", "/tokens")
	r.Outcome = audit.Denied
	r.Details[audit.Reason] = f.Code
	if err := s.refusals.Note(ctx, r); err != nil {
		return fmt.Errorf("record the refused token: %w", err)
	}
	return refusal
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Unauthenticated, "InvalidToken", format, args...)
}

// verify checks what never changes about a token: its form, its signature by one of our
// keys, its issuer and its times. Everything in its header but the key's id is ignored:
// the algorithm is ES256 and the key is ours, whatever the token says.
func (s *Service) verify(ctx context.Context, text string) (verified, error) {
	if len(text) > maxToken {
		return verified{}, invalid("The token is longer than %d bytes.", maxToken)
	}
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(parsed.Headers) != 1 {
		return verified{}, invalid("The token is not a JWT that is signed with ES256.")
	}
	var stated struct {
		Issuer string `json:"iss"`
	}
	if err := parsed.UnsafeClaimsWithoutVerification(&stated); err != nil {
		return verified{}, invalid("The token's claims are not JSON.")
	}
	if !s.issued(stated.Issuer) { // asked first, for the better message: nothing is believed yet
		return verified{}, fault.New(fault.Unauthenticated, "InvalidIssuer", "AKV10032: Invalid issuer. Expected one of %s, %s, found %.200s.",
			s.Issuer("https://"+s.domain, V2), s.Issuer("https://"+s.domain, ADFS), stated.Issuer)
	}
	k, err := s.key(ctx, parsed.Headers[0].KeyID)
	if err != nil {
		return verified{}, err
	}
	var cl claims
	if err := parsed.Claims(k.Public(), &cl); err != nil {
		return verified{}, invalid("The token's signature or its claims are not valid.")
	}
	now := s.now()
	expires := time.Unix(cl.Expires, 0).UTC()
	switch {
	case !s.issued(cl.Issuer) || cl.Tenant != s.directory.Tenant():
		return verified{}, invalid("AKV10032: Invalid issuer.")
	case cl.Object == "" || cl.Credential == "" || cl.Expires == 0:
		return verified{}, invalid("The token lacks claims.")
	case now.Add(skew).Before(time.Unix(cl.NotBefore, 0)):
		return verified{}, invalid("The token is not valid yet; is the clock right?")
	case cl.Expires-cl.IssuedAt > int64(s.lifetime/time.Second):
		return verified{}, invalid("The token lives longer than tokens may.")
	}
	return verified{
		caller:   access.Caller{Principal: cl.Object, Application: cl.AppID, Issuer: cl.Issuer},
		audience: cl.Audience, expires: expires, credential: cl.Credential, epoch: cl.Epoch,
	}, nil
}

// key returns the key that a token names. One that we do not know may be a key that
// another node has just made: then, once a second at most, we look.
func (s *Service) key(ctx context.Context, id string) (directory.SigningKey, error) {
	if k, ok := s.find(id); ok {
		return k, nil
	}
	if err := s.reload(ctx); err != nil {
		s.log.WarnContext(ctx, "look for new signing keys", "error", err)
	}
	if k, ok := s.find(id); ok {
		return k, nil
	}
	return directory.SigningKey{}, invalid("Unable to resolve the key used for signature validation.")
}

func (s *Service) find(id string) (directory.SigningKey, bool) {
	for _, k := range s.directory.SigningKeys() {
		if k.ID == id && s.verifies(k) {
			return k, true
		}
	}
	return directory.SigningKey{}, false
}

func (s *Service) reload(ctx context.Context) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	now := s.now()
	if now.Sub(s.reloaded) < time.Second && !now.Before(s.reloaded) {
		return nil
	}
	s.reloaded = now
	return s.directory.Reload(ctx)
}
