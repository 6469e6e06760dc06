package token

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
	"uuid"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
)

// Codes of refusals, in OAuth's words where it has them (RFC 6749 §5.2).
const (
	CodeInvalidClient   = "invalid_client"
	CodeInvalidResource = "invalid_resource"
)

// Token is an issued token.
type Token struct {
	Text     access.Secret
	Audience string
	ClientID string
	Issued   time.Time
	Expires  time.Time
}

// ClientCredentials is a request with a client id and secret (RFC 6749 §4.4).
type ClientCredentials struct {
	ClientID string
	Secret   access.Secret
	Resource string // the audience
	Base     string // https://{domain}[:port] as the client reached it
	Form     Form
	From     access.Origin
}

// ForClient issues a token for a client id and secret. A wrong one is
// fault.Unauthenticated with CodeInvalidClient, whatever is wrong with it; a resource
// that we do not know is fault.Invalid with CodeInvalidResource.
func (s *Service) ForClient(ctx context.Context, r ClientCredentials) (Token, error) {
	p, credential, err := s.directory.ProveSecret(r.ClientID, r.Secret)
	if err != nil {
		return Token{}, s.refuse(ctx, s.directory.Knows(r.ClientID), grant{name: "client_credentials", from: r.From}, fault.Wrap(err, fault.Unauthenticated, CodeInvalidClient, "the client id or the secret is not valid"))
	}
	return s.issue(ctx, p, credential, grant{name: "client_credentials", resource: r.Resource, issuer: s.Issuer(r.Base, r.Form), form: r.Form, from: r.From})
}

// ManagedIdentity is a request with the header of a managed identity, as App Service has
// it (api-version 2019-08-01).
type ManagedIdentity struct {
	Header   access.Secret
	ClientID string // optional; must then be that of the header's application
	ObjectID string // the same
	Resource string
	Base     string
	From     access.Origin
}

// ForManagedIdentity issues a token for a managed identity's header. Its errors are those
// of ForClient.
func (s *Service) ForManagedIdentity(ctx context.Context, r ManagedIdentity) (Token, error) {
	p, credential, err := s.directory.ProveHeader(r.Header)
	if err == nil && (!same(r.ClientID, p.ClientID) || !same(r.ObjectID, p.ID)) {
		err = fault.New(fault.Unauthenticated, CodeInvalidClient, "the header belongs to another application")
	}
	if err != nil {
		return Token{}, s.refuse(ctx, s.directory.Knows(r.ClientID), grant{name: "managed_identity", from: r.From}, fault.Wrap(err, fault.Unauthenticated, CodeInvalidClient,
			"the header X-IDENTITY-HEADER, or the client id beside it, is not valid"))
	}
	return s.issue(ctx, p, credential, grant{name: "managed_identity", resource: r.Resource, issuer: s.Issuer(r.Base, V2), form: V2, from: r.From})
}

// same reports whether an optional id names what it should.
func same(given, want string) bool { return given == "" || strings.EqualFold(given, want) }

// grant is what a proven client asked for.
type grant struct {
	name     string
	resource string
	issuer   string
	form     Form
	from     access.Origin
}

// issue signs a token and records it before it is returned.
func (s *Service) issue(ctx context.Context, p directory.Principal, c directory.Credential, g grant) (Token, error) {
	if !s.known(g.resource) {
		return Token{}, s.refuse(ctx, p.ClientID, g, fault.New(fault.Invalid, CodeInvalidResource,
			"no tokens are issued for %.200q; ask for https://%s", g.resource, s.domain))
	}
	now := s.now().UTC()
	t := Token{Audience: g.resource, ClientID: p.ClientID, Issued: now, Expires: now.Add(s.lifetime).Truncate(time.Second)}
	cl := claims{
		Audience: g.resource, Issuer: g.issuer, IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: t.Expires.Unix(),
		AppID: p.ClientID, AZP: p.ClientID, ACR: "1", AZPACR: "1", Type: "app", Object: p.ID, Subject: p.ID,
		Tenant: s.directory.Tenant(), Version: cmp.Or(version(g.form), "2.0"), ID: uuid.NewV4().String(),
		Credential: c.ID, Epoch: p.Epoch,
	}
	text, err := s.sign(ctx, cl)
	if err != nil {
		return Token{}, err
	}
	t.Text = access.NewSecret(text)
	record := p.Caller().From(g.from).Record("TokenIssued", "/principals/"+p.ID)
	record.Details[audit.Audience], record.Details[audit.Grant] = g.resource, g.name
	if err := s.audit.Record(ctx, record); err != nil {
		return Token{}, fmt.Errorf("record the token: %w", err)
	}
	return t, nil
}

func version(f Form) string {
	if f == ADFS {
		return string(V1) // AD FS writes version 1.0 into its tokens
	}
	return string(f)
}

// sign signs the claims, with a key that is made for the very first token.
func (s *Service) sign(ctx context.Context, cl claims) (string, error) {
	keys := s.directory.SigningKeys()
	if len(keys) == 0 {
		if err := s.directory.EnsureSigningKey(ctx); err != nil {
			return "", err
		}
		if keys = s.directory.SigningKeys(); len(keys) == 0 {
			return "", fault.New(fault.Unavailable, "NoSigningKey", "another node makes the key that signs tokens; try again")
		}
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: keys[0].Signer(), KeyID: keys[0].ID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	text, err := jwt.Signed(signer).Claims(cl).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return text, nil
}

// refuse counts a failed request and returns its error. The client is named if it is one
// that we know; otherwise its id is any text that anybody sends.
func (s *Service) refuse(ctx context.Context, client string, g grant, refusal *fault.Error) error {
	r := access.Caller{Application: client}.From(g.from).Record("TokenRefused", "/tokens")
	r.Outcome = audit.Denied
	r.Details[audit.Grant], r.Details[audit.Reason] = g.name, refusal.Code
	if err := s.refusals.Note(ctx, r); err != nil {
		return fmt.Errorf("record the refused token: %w", err)
	}
	return refusal
}

// RotateKey signs with a new key from now on, and forgets keys whose tokens have expired.
func (s *Service) RotateKey(ctx context.Context, c access.Caller) error {
	return s.directory.RotateSigningKey(ctx, c, s.now().Add(-s.lifetime-skew))
}
