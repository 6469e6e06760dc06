package acme

import (
	"context"
	"crypto/x509"
	"testing"
	"time"

	"github.com/mholt/acmez/v3"
	client "github.com/mholt/acmez/v3/acme"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/lifecycle/acme"
)

// solver shows what acmez wants shown.
type solver struct{ w *world }

func (s solver) Present(ctx context.Context, c client.Challenge) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	switch c.Type {
	case "http-01":
		s.w.tokens[c.Token] = c.KeyAuthorization
	case "dns-01":
		return s.w.names.show(ctx, c.DNS01TXTRecordName()+".", c.DNS01KeyAuthorization())
	case "tls-alpn-01":
		made, err := acmez.TLSALPN01ChallengeCert(c)
		if err != nil {
			return err
		}
		s.w.certs[serverName(c.Identifier)] = made
	}
	return nil
}

func (s solver) CleanUp(context.Context, client.Challenge) error { return nil }

func serverName(i client.Identifier) string {
	if i.Type == "ip" {
		return "1.0.0.127.in-addr.arpa"
	}
	return i.Value
}

// acmez makes a client that knows one way to show a name, and an account.
func (w *world) acmez(t *testing.T, method string) (*acmez.Client, client.Account) {
	t.Helper()
	c := &acmez.Client{
		Client:           &client.Client{Directory: w.directory(), HTTPClient: w.Client},
		ChallengeSolvers: map[string]acmez.Solver{method: solver{w}},
	}
	id, secret := w.key(t)
	account := client.Account{Contact: []string{"mailto:ops@example.com"}, TermsOfServiceAgreed: true, PrivateKey: ecKey(t)}
	if err := account.SetExternalAccountBinding(t.Context(), c.Client, client.EAB{KeyID: id, MACKey: secret}); err != nil {
		t.Fatal(err)
	}
	account, err := c.NewAccount(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	return c, account
}

func TestAcmezGetsCertificatesByEachChallenge(t *testing.T) {
	t.Parallel()
	w := start(t)
	for method, names := range map[string][]string{
		"http-01":     {"a.localhost", "b.localhost", "127.0.0.1"},
		"dns-01":      {"c.example.com", "*.c.example.com"},
		"tls-alpn-01": {"d.localhost", "127.0.0.1"},
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			c, account := w.acmez(t, method)

			chains, err := c.ObtainCertificateForSANs(t.Context(), account, ecKey(t), names)
			if err != nil {
				t.Fatal(err)
			}

			for _, chain := range chains {
				leaf := w.trusted(t, chain.ChainPEM, names[0])
				if n := len(leaf.DNSNames) + len(leaf.IPAddresses); n != len(names) {
					t.Errorf("%d names: %q %v", n, leaf.DNSNames, leaf.IPAddresses)
				}
			}
			if len(chains) < 2 {
				t.Errorf("%d chains, want an alternate one", len(chains))
			}
		})
	}
}

func TestAcmezRenewsWhenTheOperatorMovesTheWindow(t *testing.T) {
	t.Parallel()
	w := start(t)
	c, account := w.acmez(t, "http-01")
	key := ecKey(t)
	chains, err := c.ObtainCertificateForSANs(t.Context(), account, key, []string{"a.localhost"})
	if err != nil {
		t.Fatal(err)
	}
	leaf := w.trusted(t, chains[0].ChainPEM, "a.localhost")
	before, err := c.GetRenewalInfo(t.Context(), leaf)
	if err != nil {
		t.Fatal(err)
	}
	if life := leaf.NotAfter.Sub(leaf.NotBefore); before.SuggestedWindow.Start.Before(leaf.NotBefore.Add(life / 2)) {
		t.Errorf("the usual window begins at %v", before.SuggestedWindow.Start)
	}

	friday := time.Now().Add(48 * time.Hour).Truncate(time.Second)
	if _, err := w.ACME.CreateWindow(t.Context(), apptest.System, acme.Window{Profile: "tls-server", End: friday, Explanation: "https://example.com/why"}); err != nil {
		t.Fatal(err)
	}
	after, err := c.GetRenewalInfo(t.Context(), leaf)
	if err != nil {
		t.Fatal(err)
	}
	if !after.SuggestedWindow.End.Equal(friday) || after.ExplanationURL != "https://example.com/why" {
		t.Errorf("the moved window: %+v", after)
	}

	renew := func() (*x509.Certificate, error) {
		request, err := acmez.NewCSR(ecKey(t), []string{"a.localhost"})
		if err != nil {
			t.Fatal(err)
		}
		params, err := acmez.OrderParametersFromCSR(account, request)
		if err != nil {
			t.Fatal(err)
		}
		params.Replaces, params.Profile = leaf, "tls-server"
		chains, err := c.ObtainCertificate(t.Context(), params)
		if err != nil {
			return nil, err
		}
		return w.trusted(t, chains[0].ChainPEM, "a.localhost"), nil
	}
	next, err := renew()
	if err != nil {
		t.Fatal(err)
	}
	info, err := c.GetRenewalInfo(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	if info.SuggestedWindow.End.Equal(friday) {
		t.Error("the new certificate is to be renewed by the window of the old ones")
	}
	if o, err := c.NewOrder(t.Context(), account, client.Order{
		Identifiers: []client.Identifier{{Type: "dns", Value: "a.localhost"}}, Replaces: mustID(t, leaf),
	}); err == nil {
		t.Errorf("a second order replaces the same certificate: %+v", o)
	}
}

func mustID(t *testing.T, c *x509.Certificate) string {
	t.Helper()
	id, err := client.ARIUniqueIdentifier(c)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAcmezRevokesByAccountAndByTheCertificatesKey(t *testing.T) {
	t.Parallel()
	w := start(t)
	c, account := w.acmez(t, "tls-alpn-01")
	stranger, strangers := w.acmez(t, "tls-alpn-01")
	for _, byKey := range []bool{false, true} {
		key := ecKey(t)
		chains, err := c.ObtainCertificateForSANs(t.Context(), account, key, []string{"a.localhost"})
		if err != nil {
			t.Fatal(err)
		}
		leaf := w.trusted(t, chains[0].ChainPEM, "a.localhost")

		if err := stranger.RevokeCertificate(t.Context(), strangers, leaf, nil, 1); err == nil {
			t.Error("an account without authorizations revokes another's certificate")
		}
		if byKey {
			err = c.RevokeCertificate(t.Context(), client.Account{}, leaf, key, 1)
		} else {
			err = c.RevokeCertificate(t.Context(), account, leaf, nil, 4)
		}
		if err != nil {
			t.Fatal(err)
		}

		info, err := c.GetRenewalInfo(t.Context(), leaf)
		if err != nil || info.SuggestedWindow.End.After(time.Now()) {
			t.Errorf("a revoked certificate is to be renewed in %+v, %v", info.SuggestedWindow, err)
		}
		if err := c.RevokeCertificate(t.Context(), account, leaf, nil, 1); err == nil {
			t.Error("it is revoked twice")
		}
	}
}

func TestAcmezChangesItsKeyAndEndsItsAccount(t *testing.T) {
	t.Parallel()
	w := start(t)
	c, account := w.acmez(t, "http-01")
	old := account
	account, err := c.AccountKeyRollover(t.Context(), account, ecKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ObtainCertificateForSANs(t.Context(), old, ecKey(t), []string{"a.localhost"}); err == nil {
		t.Error("the old key still orders")
	}
	if _, err := c.ObtainCertificateForSANs(t.Context(), account, ecKey(t), []string{"a.localhost"}); err != nil {
		t.Fatal(err)
	}

	if _, err := c.UpdateAccount(t.Context(), client.Account{Status: "deactivated", Location: account.Location, PrivateKey: account.PrivateKey}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ObtainCertificateForSANs(t.Context(), account, ecKey(t), []string{"a.localhost"}); err == nil {
		t.Error("an ended account still orders")
	}
}
