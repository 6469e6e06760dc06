package token_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/accesstest"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/access/token"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

const base = "https://localhost:8443"

func issue(t testing.TB, f *accesstest.Floor, s *token.Service) string {
	t.Helper()
	tok, err := s.ForClient(t.Context(), token.ClientCredentials{
		ClientID: f.Admin.ClientID, Secret: f.Admin.Secret, Resource: base, Base: base, Form: token.V2,
		From: access.Origin{Address: "192.0.2.1", Agent: "test"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tok.Text.Reveal()
}

func payload(t testing.TB, text string) map[string]any {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTokenHasTheClaimsThatKeyVaultReads(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	m := payload(t, issue(t, f, f.Tokens))
	now := float64(f.Time().Unix())
	for claim, want := range map[string]any{
		"aud": base, "iss": base + "/" + f.Admin.Tenant + "/v2.0", "iat": now, "nbf": now, "exp": now + 3600,
		"appid": f.Admin.ClientID, "azp": f.Admin.ClientID, "oid": f.Admin.ID, "sub": f.Admin.ID, "tid": f.Admin.Tenant, "idtyp": "app", "ver": "2.0",
	} {
		if m[claim] != want {
			t.Errorf("%s is %v, want %v", claim, m[claim], want)
		}
	}
	recs := f.Records(t, "TokenIssued")
	if len(recs) != 1 || recs[0].Principal != f.Admin.ID || recs[0].Address != "192.0.2.1" || recs[0].Details[audit.Audience] != base || recs[0].Details[audit.Grant] != "client_credentials" {
		t.Errorf("records %+v", recs)
	}
}

func TestTokenTellsWhoAsks(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		text := issue(t, f, f.Tokens)
		for range 2 { // the second time from the cache
			c, err := f.Tokens.Authenticate(t.Context(), text, base)
			if err != nil || c.Principal != f.Admin.ID || c.Application != f.Admin.ClientID || c.Name != "Administrator" || c.IsSystem() {
				t.Errorf("%+v: %v", c, err)
			}
		}
		// Another node, or the same after a restart.
		if _, err := f.TokensOf(f.Node(t)).Authenticate(t.Context(), text, base); err != nil {
			t.Errorf("on another node: %v", err)
		}
	})
}

func TestAudienceIsTheResourceWithOrWithoutPortAndSlash(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	s := token.New(token.Config{
		Directory: f.Directory, Audit: f, Refusals: f.Refusals, Domain: "Localhost", Audiences: []string{"https://vault.azure.net"}, Now: f.Time,
	})
	get := func(resource string) (string, error) {
		tok, err := s.ForClient(t.Context(), token.ClientCredentials{ClientID: f.Admin.ClientID, Secret: f.Admin.Secret, Resource: resource, Base: base, Form: token.ADFS})
		return tok.Text.Reveal(), err
	}
	for resource, ok := range map[string]bool{
		base: true, base + "/": true, "https://localhost": true, "https://LOCALHOST/": true, "https://vault.azure.net": true, "https://vault.azure.net/": true,
		"https://localhost:9443": false, // issued, for a client that reaches us there, but not good here
	} {
		text, err := get(resource)
		if err != nil {
			t.Errorf("%s: %v", resource, err)
			continue
		}
		_, err = s.Authenticate(t.Context(), text, base)
		if (err == nil) != ok {
			t.Errorf("%s: %v", resource, err)
		}
		if !ok && !strings.HasPrefix(fault.Of(err).Message, "AKV10022: Invalid audience. Expected "+base+", found: "+resource) {
			t.Errorf("message %q", fault.Of(err).Message)
		}
	}
	for _, resource := range []string{
		"", "https://", "https://management.azure.com", "https://localhost.example.com", "http://localhost:8443", "https://localhost:8443/x", "https://localhost@example.com",
		"https://example.com@localhost", "https://localhost?x", "https://localhost#x", "localhost", "https://a.localhost:8443",
	} {
		if _, err := get(resource); !fault.HasCode(err, token.CodeInvalidResource) || !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", resource, err)
		}
	}
}

// forge signs claims with a key, with any header.
func forge(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestForgedTokensAreRefused(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	good := issue(t, f, f.Tokens)
	own := f.Directory.SigningKeys()[0]
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	with := func(changes map[string]any) map[string]any {
		m := payload(t, good)
		for _, k := range []string{"iat", "nbf", "exp", "chatelaine_epoch"} {
			m[k] = int64(m[k].(float64))
		}
		for k, v := range changes {
			if m[k] = v; v == nil {
				delete(m, k)
			}
		}
		return m
	}
	signed := func(changes map[string]any) string { return forge(t, jose.ES256, own.Signer(), own.ID, with(changes)) }
	parts := strings.Split(good, ".")
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	public, err := json.Marshal(jose.JSONWebKey{Key: &foreign.PublicKey, KeyID: own.ID})
	if err != nil {
		t.Fatal(err)
	}
	// The public key's bytes as an HMAC key: the oldest trick.
	shared := elliptic.Marshal(elliptic.P256(), own.Public().X, own.Public().Y) //nolint:staticcheck // what an attacker does
	now := f.Time().Unix()
	header := func(h string) string {
		input := b64(h) + "." + parts[1]
		digest := sha256.Sum256([]byte(input))
		r, s, err := ecdsa.Sign(rand.Reader, foreign, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		sig := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		return input + "." + base64.RawURLEncoding.EncodeToString(sig)
	}
	flipped := []byte(parts[2])
	flipped[3] ^= 1
	for name, c := range map[string]struct{ text, code string }{
		"empty":                    {"", "InvalidToken"},
		"garbage":                  {"x.y.z", "InvalidToken"},
		"two parts":                {parts[0] + "." + parts[1], "InvalidToken"},
		"no signature":             {parts[0] + "." + parts[1] + ".", "InvalidToken"},
		"a flipped bit":            {parts[0] + "." + parts[1] + "." + string(flipped), "InvalidToken"},
		"an added space":           {good + " ", "InvalidToken"},
		"a zero signature":         {parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)), "InvalidToken"},
		"JSON serialisation":       {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "InvalidToken"},
		"alg none":                 {b64(`{"alg":"none","typ":"JWT"}`) + "." + parts[1] + ".", "InvalidToken"},
		"alg None, with signature": {b64(`{"alg":"None","typ":"JWT"}`) + "." + parts[1] + "." + parts[2], "InvalidToken"},
		"alg HS256":                {forge(t, jose.HS256, shared, own.ID, with(nil)), "InvalidToken"},
		"changed claims":           {parts[0] + "." + b64(strings.Replace(string(must(t, parts[1])), f.Admin.ID, "00000000-0000-0000-0000-000000000001", 1)) + "." + parts[2], "InvalidToken"},
		"foreign key":              {forge(t, jose.ES256, foreign, "foreign", with(nil)), "InvalidToken"},
		"foreign key, our kid":     {forge(t, jose.ES256, foreign, own.ID, with(nil)), "InvalidToken"},
		"no kid":                   {forge(t, jose.ES256, foreign, "", with(nil)), "InvalidToken"},
		"its own jwk":              {header(`{"alg":"ES256","typ":"JWT","kid":"` + own.ID + `","jwk":` + string(public) + `}`), "InvalidToken"},
		"its own jku":              {header(`{"alg":"ES256","typ":"JWT","kid":"x","jku":"https://localhost:1/keys"}`), "InvalidToken"},
		"its own x5u":              {header(`{"alg":"ES256","typ":"JWT","kid":"' OR 1=1 --","x5u":"file:///etc/passwd"}`), "InvalidToken"},
		"unknown crit":             {header(`{"alg":"ES256","kid":"` + own.ID + `","crit":["x"],"x":1}`), "InvalidToken"},
		"huge":                     {good + strings.Repeat("A", 1<<20), "InvalidToken"},
		"another issuer":           {signed(map[string]any{"iss": "https://sts.windows.net/" + f.Admin.Tenant + "/"}), "InvalidIssuer"},
		"issuer of another tenant": {signed(map[string]any{"iss": base + "/00000000-0000-0000-0000-000000000001/v2.0"}), "InvalidIssuer"},
		"issuer on another host":   {signed(map[string]any{"iss": "https://localhost.example.com/adfs"}), "InvalidIssuer"},
		"another tenant":           {signed(map[string]any{"tid": "00000000-0000-0000-0000-000000000001"}), "InvalidToken"},
		"another audience":         {signed(map[string]any{"aud": "https://management.azure.com"}), "InvalidAudience"},
		"audience of a neighbour":  {signed(map[string]any{"aud": "https://localhost:84430"}), "InvalidAudience"},
		"audience is a list":       {signed(map[string]any{"aud": []string{base}}), "InvalidToken"},
		"no audience":              {signed(map[string]any{"aud": nil}), "InvalidAudience"},
		"expired":                  {signed(map[string]any{"iat": now - 3601, "nbf": now - 3601, "exp": now - 1}), "TokenExpired"},
		"expires now":              {signed(map[string]any{"iat": now - 3600, "nbf": now - 3600, "exp": now}), "TokenExpired"},
		"no expiry":                {signed(map[string]any{"exp": nil}), "InvalidToken"},
		"not valid yet":            {signed(map[string]any{"nbf": now + 61}), "InvalidToken"},
		"lives for ever":           {signed(map[string]any{"exp": now + 3601}), "InvalidToken"},
		"nobody":                   {signed(map[string]any{"oid": nil}), "InvalidToken"},
		"somebody unknown":         {signed(map[string]any{"oid": "00000000-0000-0000-0000-000000000001"}), "TokenRevoked"},
		"no credential":            {signed(map[string]any{"chatelaine_credential": nil}), "InvalidToken"},
		"credential unknown":       {signed(map[string]any{"chatelaine_credential": "x"}), "TokenRevoked"},
		"another epoch":            {signed(map[string]any{"chatelaine_epoch": 7}), "TokenRevoked"},
	} {
		for range 2 { // the second time, nothing of the first may have been kept
			caller, err := f.Tokens.Authenticate(t.Context(), c.text, base)
			if !fault.Is(err, fault.Unauthenticated) || !fault.HasCode(err, c.code) || caller != (access.Caller{}) {
				t.Errorf("%s: %+v, %v, want %s", name, caller, err, c.code)
			}
		}
	}
	if _, err := f.Tokens.Authenticate(t.Context(), signed(map[string]any{"nbf": now + 59}), base); err != nil {
		t.Errorf("a node whose clock is a little ahead: %v", err)
	}
	// ES256 signatures are malleable: s and n-s both verify. Both are the same token of the
	// same holder, and both must end together.
	if err := f.Directory.DeletePrincipal(t.Context(), f.Application(t, "second", "Administrator", "/"), f.Admin.ID); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"token": good, "twin": twin(t, good)} {
		if _, err := f.Tokens.Authenticate(t.Context(), text, base); !fault.HasCode(err, "TokenRevoked") {
			t.Errorf("%s of a deleted principal: %v", name, err)
		}
	}
}

func must(t testing.TB, b64 string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(b64)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// twin returns the token with the other signature of the same message.
func twin(t testing.TB, text string) string {
	t.Helper()
	parts := strings.Split(text, ".")
	sig := must(t, parts[2])
	s := new(big.Int).SetBytes(sig[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(sig[32:])
	return parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func TestTokenEndsAtItsExpiryToTheSecond(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	text := issue(t, f, f.Tokens)
	f.Advance(time.Hour - time.Nanosecond)
	if _, err := f.Tokens.Authenticate(t.Context(), text, base); err != nil {
		t.Fatalf("a moment before: %v", err)
	}

	f.Advance(time.Nanosecond)

	for name, s := range map[string]*token.Service{"cached": f.Tokens, "first seen": f.TokensOf(f.Directory)} {
		if _, err := s.Authenticate(t.Context(), text, base); !fault.HasCode(err, "TokenExpired") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokenEndsWithItsPrincipalAndItsCredential(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		d, ctx := f.Directory, t.Context()
		for name, end := range map[string]func(p string, c directory.Credential) error{
			"disabled": func(p string, _ directory.Credential) error {
				_, err := d.SetEnabled(ctx, f.Administrator(), p, false)
				return err
			},
			"disabled and enabled": func(p string, _ directory.Credential) error {
				if _, err := d.SetEnabled(ctx, f.Administrator(), p, false); err != nil {
					return err
				}
				_, err := d.SetEnabled(ctx, f.Administrator(), p, true)
				return err
			},
			"deleted": func(p string, _ directory.Credential) error { return d.DeletePrincipal(ctx, f.Administrator(), p) },
			"secret removed": func(p string, c directory.Credential) error {
				return d.RemoveCredential(ctx, f.Administrator(), p, c.ID)
			},
		} {
			who := f.Application(t, "shop", "", "/")
			cred, secret, err := d.AddCredential(ctx, f.Administrator(), who.Principal, directory.NewCredential{Kind: directory.ClientSecret})
			if err != nil {
				t.Fatal(err)
			}
			tok, err := f.Tokens.ForClient(ctx, token.ClientCredentials{ClientID: who.Application, Secret: secret, Resource: base, Base: base, Form: token.V1})
			if err != nil {
				t.Fatal(err)
			}
			node := f.Node(t)
			other := f.TokensOf(node)
			for _, s := range []*token.Service{f.Tokens, other} {
				if _, err := s.Authenticate(ctx, tok.Text.Reveal(), base); err != nil {
					t.Fatal(err)
				}
			}
			// Another secret of the same principal comes and goes: that changes nothing.
			extra, _, err := d.AddCredential(ctx, f.Administrator(), who.Principal, directory.NewCredential{Kind: directory.ClientSecret})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.RemoveCredential(ctx, f.Administrator(), who.Principal, extra.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Tokens.Authenticate(ctx, tok.Text.Reveal(), base); err != nil {
				t.Errorf("%s: the token ended with another secret: %v", name, err)
			}

			if err := end(who.Principal, cred); err != nil {
				t.Fatal(err)
			}
			if err := node.Reload(ctx); err != nil {
				t.Fatal(err)
			}

			for where, s := range map[string]*token.Service{"cached": f.Tokens, "another node": other, "first seen": f.TokensOf(f.Node(t))} {
				if _, err := s.Authenticate(ctx, tok.Text.Reveal(), base); !fault.HasCode(err, "TokenRevoked") {
					t.Errorf("%s, %s: %v", name, where, err)
				}
			}
		}
	})
}

func TestKeysRotateWithoutEndingTokens(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		stale := f.TokensOf(f.Node(t))
		old := issue(t, f, f.Tokens)
		f.Advance(30 * time.Minute)

		if err := f.Tokens.RotateKey(t.Context(), f.Administrator()); err != nil {
			t.Fatal(err)
		}

		fresh := issue(t, f, f.Tokens)
		kid := func(text string) string {
			var h struct{ Kid string }
			if err := json.Unmarshal(must(t, strings.Split(text, ".")[0]), &h); err != nil {
				t.Fatal(err)
			}
			return h.Kid
		}
		if kid(old) == kid(fresh) {
			t.Error("the new token bears the old key")
		}
		f.Advance(2 * time.Second) // an unknown key is looked for once a second
		for name, text := range map[string]string{"old": old, "fresh": fresh} {
			if _, err := f.Tokens.Authenticate(t.Context(), text, base); err != nil {
				t.Errorf("%s token: %v", name, err)
			}
			if _, err := stale.Authenticate(t.Context(), text, base); err != nil {
				t.Errorf("%s token on a node that knew the old key alone: %v", name, err)
			}
		}
		var ids []string
		for _, k := range f.Tokens.KeySet().Keys {
			ids = append(ids, k.KeyID)
			if !k.IsPublic() || k.Algorithm != "ES256" || k.Use != "sig" {
				t.Errorf("key set entry %s: public %v, %s, %s", k.KeyID, k.IsPublic(), k.Algorithm, k.Use)
			}
		}
		if !slices.Equal(ids, []string{kid(fresh), kid(old)}) {
			t.Errorf("key set %v", ids)
		}

		f.Advance(2 * time.Hour)
		if n := len(f.Tokens.KeySet().Keys); n != 1 {
			t.Errorf("%d keys when the old one's tokens have expired", n)
		}
		if err := f.Tokens.RotateKey(t.Context(), f.Administrator()); err != nil {
			t.Fatal(err)
		}
		if n := len(f.Node(t).SigningKeys()); n != 2 {
			t.Errorf("%d keys are kept", n)
		}
	})
}

func TestManagedIdentityGetsATokenForItsOwnHeader(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	get := func(r token.ManagedIdentity) error {
		r.Resource, r.Base = base, base
		tok, err := f.Tokens.ForManagedIdentity(t.Context(), r)
		if err != nil {
			return err
		}
		_, err = f.Tokens.Authenticate(t.Context(), tok.Text.Reveal(), base)
		return err
	}
	for name, r := range map[string]token.ManagedIdentity{
		"system assigned": {Header: f.Admin.Header},
		"by client id":    {Header: f.Admin.Header, ClientID: strings.ToUpper(f.Admin.ClientID)},
		"by object id":    {Header: f.Admin.Header, ObjectID: f.Admin.ID},
	} {
		if err := get(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := f.Application(t, "other", "", "/")
	for name, r := range map[string]token.ManagedIdentity{
		"no header":         {},
		"client secret":     {Header: f.Admin.Secret},
		"another's id":      {Header: f.Admin.Header, ClientID: other.Application},
		"another's object":  {Header: f.Admin.Header, ObjectID: other.Principal},
		"unknown client id": {Header: f.Admin.Header, ClientID: "x"},
	} {
		if err := get(r); !fault.HasCode(err, token.CodeInvalidClient) || !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFloodOfWrongSecretsDoesNotFillTheTrail(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	try := func(client, address string) {
		_, err := f.Tokens.ForClient(t.Context(), token.ClientCredentials{
			ClientID: client, Secret: access.NewSecret("wrong"), Resource: base, Base: base, Form: token.V2, From: access.Origin{Address: address},
		})
		if !fault.HasCode(err, token.CodeInvalidClient) {
			t.Fatal(err)
		}
	}
	for i := range 500 {
		try(f.Admin.ClientID, "192.0.2.1")
		try(fmt.Sprint(i), fmt.Sprintf("198.51.100.%d", i%250))
	}

	if n := len(f.Records(t, "TokenRefused")); n < 2 || n > 200 {
		t.Errorf("%d records of 1,000 attempts", n)
	}
	if err := f.Refusals.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	recs := f.Records(t, "TokenRefused")
	total, named := 0, 0
	for _, r := range recs {
		switch r.Application {
		case f.Admin.ClientID:
			named++
		case "":
		default:
			t.Errorf("the record names %q, which anybody could have sent", r.Application)
		}
		n := 1
		if c := r.Details[audit.Count]; c != "" {
			if _, err := fmt.Sscan(c, &n); err != nil {
				t.Fatal(err)
			}
		}
		total += n
		if r.Outcome != audit.Denied || r.Details[audit.Reason] != token.CodeInvalidClient {
			t.Errorf("record %+v", r)
		}
	}
	if total != 1000 || len(recs) > 400 || named != 2 {
		t.Errorf("%d records tell of %d attempts, want 1000; %d name the client, want 2", len(recs), total, named)
	}
}

func TestTokenThatIsNotRecordedIsNotIssued(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	issue(t, f, f.Tokens) // so that the signing key is there
	f.FailAudit(true)
	tok, err := f.Tokens.ForClient(t.Context(), token.ClientCredentials{ClientID: f.Admin.ClientID, Secret: f.Admin.Secret, Resource: base, Base: base, Form: token.V2})
	if err == nil || tok.Text.Reveal() != "" {
		t.Errorf("a token without a record: %v", err)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	f := accesstest.New(b, storagetest.SQLite(b))
	text, ctx := issue(b, f, f.Tokens), b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Tokens.Authenticate(ctx, text, base); err != nil {
			b.Fatal(err)
		}
	}
}
