package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"testing"

	"golang.org/x/crypto/acme"
)

// xcrypto is Go's own client, with an account.
func (w *world) xcrypto(t *testing.T, key crypto.Signer) *acme.Client {
	t.Helper()
	c := &acme.Client{Key: key, HTTPClient: w.Client, DirectoryURL: w.directory()}
	id, secret := w.key(t)
	raw, err := base64.RawURLEncoding.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Register(t.Context(), &acme.Account{ExternalAccountBinding: &acme.ExternalAccountBinding{KID: id, Key: raw}}, acme.AcceptTOS); err != nil {
		t.Fatal(err)
	}
	return c
}

// obtain gets a certificate for names that are shown by http-01.
func (w *world) obtain(ctx context.Context, c *acme.Client, request []byte, names ...string) ([]byte, string, error) {
	o, err := c.AuthorizeOrder(ctx, acme.DomainIDs(names...))
	if err != nil {
		return nil, "", err
	}
	for _, u := range o.AuthzURLs {
		z, err := c.GetAuthorization(ctx, u)
		if err != nil {
			return nil, "", err
		}
		for _, ch := range z.Challenges {
			if ch.Type != "http-01" || z.Status == acme.StatusValid {
				continue
			}
			text, err := c.HTTP01ChallengeResponse(ch.Token)
			if err != nil {
				return nil, "", err
			}
			w.mu.Lock()
			w.tokens[ch.Token] = text
			w.mu.Unlock()
			if _, err := c.Accept(ctx, ch); err != nil {
				return nil, "", err
			}
		}
		if _, err := c.WaitAuthorization(ctx, u); err != nil {
			return nil, "", err
		}
	}
	if o, err = c.WaitOrder(ctx, o.URI); err != nil {
		return nil, "", err
	}
	ders, at, err := c.CreateOrderCert(ctx, o.FinalizeURL, request, true)
	var chain []byte
	for _, der := range ders {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return chain, at, err
}

func csr(t *testing.T, key crypto.Signer, names ...string) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestXCryptoDoesTheWholeProtocol(t *testing.T) {
	t.Parallel()
	w := start(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weighty, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"ES256": ecKey(t), "ES384": p384, "RS256": weighty} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			c := w.xcrypto(t, key)
			host := "x-" + map[string]string{"ES256": "a", "ES384": "b", "RS256": "c"}[name] + ".example.com"
			mine := ecKey(t)

			chain, at, err := w.obtain(ctx, c, csr(t, mine, host), host)
			if err != nil {
				t.Fatal(err)
			}
			leaf := w.trusted(t, chain, host)
			others, err := c.ListCertAlternates(ctx, at)
			if err != nil || len(others) == 0 {
				t.Errorf("alternates %q, %v", others, err)
			}
			if _, err := c.FetchCert(ctx, others[0], true); err != nil {
				t.Error(err)
			}

			// A validation counts for the next order, until it is given up.
			o, err := c.AuthorizeOrder(ctx, acme.DomainIDs(host))
			if err != nil || o.Status != acme.StatusReady {
				t.Fatalf("an order for a name that was shown: %+v, %v", o, err)
			}
			if err := c.RevokeAuthorization(ctx, o.AuthzURLs[0]); err != nil {
				t.Fatal(err)
			}
			if o, err = c.GetOrder(ctx, o.URI); err != nil || o.Status != acme.StatusInvalid {
				t.Errorf("an order whose authorization was given up: %+v, %v", o, err)
			}
			if o, err = c.AuthorizeOrder(ctx, acme.DomainIDs(host)); err != nil || o.Status != acme.StatusPending {
				t.Errorf("an order after that: %+v, %v", o, err)
			}

			if _, err := c.UpdateReg(ctx, &acme.Account{Contact: []string{"mailto:new@example.com"}}); err != nil {
				t.Error(err)
			}
			if err := c.AccountKeyRollover(ctx, ecKey(t)); err != nil {
				t.Fatal(err)
			}
			if err := c.RevokeCert(ctx, nil, leaf.Raw, acme.CRLReasonKeyCompromise); err != nil {
				t.Error(err)
			}
			if err := c.DeactivateReg(ctx); err != nil {
				t.Fatal(err)
			}
			var refused *acme.Error
			if _, err := c.AuthorizeOrder(ctx, acme.DomainIDs(host)); !errors.As(err, &refused) || refused.ProblemType != "urn:ietf:params:acme:error:unauthorized" {
				t.Errorf("an ended account orders: %v", err)
			}
		})
	}
}
