package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

type vault struct {
	Name          string
	RetentionDays int
	Created       time.Time
}

func TestVaultsAreMadeAndListedInPages(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		var made vault
		for i := range 5 {
			c.want(t, http.StatusCreated, fmt.Sprintf("PUT /vaults/vault-%d", i), map[string]any{"retentionDays": 7 + i}, &made)
			if made.Name != fmt.Sprintf("vault-%d", i) || made.RetentionDays != 7+i || made.Created.IsZero() {
				t.Errorf("made %+v", made)
			}
		}
		c.refused(t, 409, "VaultAlreadyExists", "PUT /vaults/vault-3", map[string]any{})

		var names []string
		for after, pages := "", 0; ; pages++ {
			var l list[vault]
			c.want(t, http.StatusOK, "GET /vaults?limit=2&after="+url.QueryEscape(after), nil, &l)
			for _, v := range l.Items {
				names = append(names, v.Name)
			}
			if after = l.Next; after == "" {
				if pages != 3 {
					t.Errorf("%d pages", pages+1)
				}
				break
			}
		}
		if want := []string{"default", "hsm", "vault-0", "vault-1", "vault-2", "vault-3", "vault-4"}; !slices.Equal(names, want) {
			t.Errorf("%v, want %v", names, want)
		}

		auditor := c.as(t, "Auditor")
		auditor.want(t, http.StatusOK, "GET /vaults/vault-1", nil, &made)
		auditor.refused(t, 403, "ForbiddenByRbac", "PUT /vaults/other", map[string]any{})
	})
}

type issued struct {
	Authority, Serial, SHA256, Profile, State, Reason, Certificate, Chain string
	NotBefore, NotAfter                                                   time.Time
}

func csr(t *testing.T, names ...string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func TestCertificateIsIssuedListedAndRevoked(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		var made, again issued
		body := map[string]any{"csr": csr(t, "shop.example.com"), "validityDays": 10, "request": "r-1"}
		c.want(t, http.StatusCreated, "POST /profiles/tls-server/certificates", body, &made)
		c.want(t, http.StatusCreated, "POST /profiles/tls-server/certificates", body, &again)

		block, _ := pem.Decode([]byte(made.Certificate))
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		intermediates := x509.NewCertPool()
		intermediates.AppendCertsFromPEM([]byte(made.Chain))
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: "shop.example.com", Roots: c.Roots, Intermediates: intermediates}); err != nil {
			t.Error(err)
		}
		if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 11*24*time.Hour || made.Serial != again.Serial {
			t.Errorf("life %v, serials %s %s", life, made.Serial, again.Serial)
		}

		at := "/authorities/" + made.Authority + "/certificates"
		c.as(t, "Requester").refused(t, 403, "ForbiddenByRbac", "POST "+at+"/"+made.Serial+"/revoke", map[string]any{})
		var gone issued
		c.want(t, http.StatusOK, "POST "+at+"/"+made.Serial+"/revoke", map[string]any{"reason": "keyCompromise"}, &gone)
		c.refused(t, 409, "AlreadyRevoked", "POST "+at+"/"+made.Serial+"/revoke", map[string]any{})
		c.refused(t, 422, "InvalidRequest", "POST "+at+"/"+made.Serial+"/revoke", map[string]any{"reason": "tired"})

		var l list[issued]
		c.want(t, http.StatusOK, "GET "+at+"?state=revoked", nil, &l)
		if gone.State != "revoked" || gone.Reason != "keyCompromise" || len(l.Items) != 1 || l.Items[0].Serial != made.Serial {
			t.Errorf("%+v, list %+v", gone, l)
		}
	})
}

func TestAuthoritiesAndProfilesAreShown(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		var l list[struct{ ID, Parent, Certificate, State string }]
		c.want(t, http.StatusOK, "GET /authorities", nil, &l)
		if len(l.Items) != 2 || l.Items[0].ID != "issuing" || l.Items[0].Parent != "root" || !strings.HasPrefix(l.Items[1].Certificate, "-----BEGIN CERTIFICATE") {
			t.Errorf("%+v", l)
		}
		c.want(t, http.StatusOK, "GET /authorities/root", nil, &l.Items[0])
		c.refused(t, 404, "UnknownAuthority", "GET /authorities/nobody", nil)
		var p list[struct {
			Name     string
			Validity struct{ Default string }
		}]
		c.want(t, http.StatusOK, "GET /profiles", nil, &p)
		if len(p.Items) < 2 || !strings.HasSuffix(p.Items[0].Validity.Default, "d") {
			t.Errorf("%+v", p)
		}
	})
}

type principal struct {
	ID, Kind, Name, ClientID, Secret string
	Enabled                          bool
}

func TestProgramIsAddedGivenASecretAndARole(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		var p, credential, assignment principal
		c.want(t, http.StatusCreated, "POST /applications", map[string]any{"name": "robot"}, &p)
		c.want(t, http.StatusCreated, "POST /principals/"+p.ID+"/credentials", map[string]any{"description": "first"}, &credential)
		c.want(t, http.StatusCreated, "POST /assignments", map[string]any{"principal": p.ID, "role": "auditor", "scope": "/"}, &assignment)
		if p.ClientID == "" || !strings.HasPrefix(credential.Secret, "chs_") {
			t.Errorf("%+v %+v", p, credential)
		}
		c.refused(t, 409, "RoleAssignmentExists", "POST /assignments", map[string]any{"principal": p.ID, "role": "Auditor"})

		_, _, b := c.send(t, "GET /principals/"+p.ID+"/credentials", nil)
		if strings.Contains(string(b), credential.Secret) || !strings.Contains(string(b), "first") {
			t.Errorf("credentials: %s", b)
		}
		var all list[principal]
		c.want(t, http.StatusOK, "GET /assignments?principal="+p.ID, nil, &all)
		if len(all.Items) != 1 || all.Items[0].ID != assignment.ID {
			t.Errorf("%+v", all)
		}

		c.want(t, http.StatusNoContent, "DELETE /assignments/"+assignment.ID, nil, nil)
		c.want(t, http.StatusNoContent, "DELETE /principals/"+p.ID+"/credentials/"+credential.ID, nil, nil)
		c.want(t, http.StatusOK, "PATCH /principals/"+p.ID, map[string]any{"enabled": false}, &p)
		if p.Enabled {
			t.Error("still enabled")
		}
		c.want(t, http.StatusNoContent, "DELETE /principals/"+p.ID, nil, nil)
		c.refused(t, 404, "PrincipalNotFound", "GET /principals/"+p.ID, nil)
		c.as(t, "Operator").refused(t, 403, "ForbiddenByRbac", "POST /applications", map[string]any{"name": "mine"})
	})
}

func TestRolesAndPrincipalsAreListed(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		var roles list[struct{ ID, Name string }]
		c.as(t, "Requester").want(t, http.StatusOK, "GET /roles", nil, &roles)
		if !slices.ContainsFunc(roles.Items, func(r struct{ ID, Name string }) bool { return r.Name == "Key Vault Secrets User" }) {
			t.Errorf("%+v", roles)
		}
		var seen []struct{ ID, Name string }
		for after := ""; ; {
			var l list[struct{ ID, Name string }]
			c.want(t, http.StatusOK, "GET /roles?limit=4&after="+after, nil, &l)
			if seen = append(seen, l.Items...); l.Next == "" || len(seen) > 100 {
				break
			}
			after = l.Next
		}
		if !slices.Equal(seen, roles.Items) {
			t.Errorf("in pages %+v, at once %+v", seen, roles.Items)
		}
		var names []string
		for after := ""; ; {
			var l list[principal]
			c.want(t, http.StatusOK, "GET /principals?limit=1&after="+url.QueryEscape(after), nil, &l)
			names = append(names, l.Items[0].Name)
			if after = l.Next; after == "" {
				break
			}
		}
		if strings.Join(names, ", ") != "admin, Administrator, Requester" {
			t.Errorf("%v", names)
		}
	})
}

func TestSignInLinkIsForTheCallerAndGoodForAWhile(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		var link struct {
			Path    string
			Expires time.Time
		}
		c.want(t, http.StatusCreated, "POST /sign-in-links", map[string]any{}, &link)
		if !strings.HasPrefix(link.Path, "/sign-in?token=chl_") || time.Until(link.Expires) > time.Hour {
			t.Errorf("%+v", link)
		}
		c.as(t, "Operator").refused(t, 403, "ForbiddenByRbac", "POST /sign-in-links", map[string]any{})
	})
}

func TestTrailIsReadInPagesAndVerified(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		c.want(t, http.StatusCreated, "PUT /vaults/payroll", map[string]any{}, nil)
		var last int64
		n := 0
		for after := ""; ; {
			var l list[struct {
				Sequence                                  int64
				Operation, Principal, Correlation, Target string
			}]
			c.want(t, http.StatusOK, "GET /audit?limit=3&after="+after, nil, &l)
			for _, r := range l.Items {
				if n++; last != 0 && r.Sequence != last-1 {
					t.Errorf("%d follows %d", r.Sequence, last)
				}
				last = r.Sequence
			}
			if after = l.Next; after == "" {
				break
			}
		}
		if last != 1 || n < 5 {
			t.Errorf("%d records, the oldest is %d", n, last)
		}

		var l list[struct{ Operation, Correlation, Target string }]
		c.want(t, http.StatusOK, "GET /audit?operation=VaultPut&target=/vaults/payroll", nil, &l)
		if len(l.Items) != 1 || len(l.Items[0].Correlation) != 36 {
			t.Errorf("%+v", l)
		}
		c.refused(t, 422, "InvalidCursor", "GET /audit?after=x", nil)

		var report struct{ Records int64 }
		c.want(t, http.StatusOK, "POST /audit/verify", nil, &report)
		if report.Records < int64(n) {
			t.Errorf("%+v", report)
		}
		c.as(t, "Operator").refused(t, 403, "ForbiddenByRbac", "GET /audit", nil)
	})
}

func TestAnAuthorityIsMadeConstrainedCrossSignedAndSucceeded(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		var a struct{ ID, Parent, State, Successor, Certificate string }
		c.want(t, http.StatusCreated, "POST /authorities", map[string]any{"id": "pq", "commonName": "Post-quantum root", "key": "ML-DSA-65", "validityDays": 3650}, &a)
		if a.ID != "pq" || a.State != "active" || a.Parent != "" {
			t.Errorf("%+v", a)
		}
		c.want(t, http.StatusCreated, "POST /authorities", map[string]any{
			"id": "shops", "parent": "root", "commonName": "Shops CA", "key": "Ed25519", "validityDays": 365, "permitted": map[string]any{"dns": []string{"shops.example.com"}},
		}, &a)
		block, _ := pem.Decode([]byte(a.Certificate))
		if cert, err := x509.ParseCertificate(block.Bytes); err != nil || !slices.Equal(cert.PermittedDNSDomains, []string{"shops.example.com"}) || cert.PublicKeyAlgorithm != x509.Ed25519 {
			t.Errorf("%v, %v", a, err)
		}
		c.refused(t, 409, "AuthorityExists", "POST /authorities", map[string]any{"id": "shops", "commonName": "a", "validityDays": 365})
		c.refused(t, 422, "PathTooLong", "POST /authorities", map[string]any{"id": "below", "parent": "shops", "commonName": "a", "validityDays": 30})
		c.refused(t, 422, "BadConstraint", "POST /authorities", map[string]any{"id": "below", "parent": "root", "commonName": "a", "validityDays": 30, "excluded": map[string]any{"ip": []string{"10.0.0.1/8"}}})
		c.as(t, "Operator").refused(t, 403, "ForbiddenByRbac", "POST /authorities", map[string]any{"id": "other", "commonName": "a", "validityDays": 30})

		var x struct{ Issuer, Certificate string }
		c.want(t, http.StatusCreated, "POST /authorities/shops/cross-certificates", map[string]any{"issuer": "pq"}, &x)
		var l list[struct{ Issuer string }]
		c.want(t, http.StatusOK, "GET /authorities/shops/cross-certificates", nil, &l)
		if x.Issuer != "pq" || len(l.Items) != 1 || l.Items[0].Issuer != "pq" {
			t.Errorf("%+v, %+v", x, l)
		}

		c.want(t, http.StatusCreated, "POST /authorities/issuing/successor", map[string]any{"id": "issuing-2", "commonName": "Issuing 2", "validityDays": 365}, &a)
		var made issued
		c.want(t, http.StatusCreated, "POST /profiles/tls-server/certificates", map[string]any{"csr": csr(t, "shop.example.com")}, &made)
		if a.ID != "issuing-2" || made.Authority != "issuing-2" {
			t.Errorf("%+v, issued by %s", a, made.Authority)
		}
		c.want(t, http.StatusOK, "GET /authorities/issuing", nil, &a)
		if a.State != "superseded" || a.Successor != "issuing-2" {
			t.Errorf("%+v", a)
		}
	})
}

func TestAnAuthorityIsCertifiedFromOutside(t *testing.T) {
	each(t, func(t *testing.T, c *client) {
		var a struct{ ID, State, Above string }
		c.want(t, http.StatusCreated, "POST /authorities", map[string]any{"id": "bought", "external": true, "commonName": "Bought CA"}, &a)
		if a.State != "pending" {
			t.Errorf("%+v", a)
		}
		var r struct{ CSR string }
		c.want(t, http.StatusOK, "GET /authorities/bought/csr", nil, &r)
		block, _ := pem.Decode([]byte(r.CSR))
		request, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		root := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Seller"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
			BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		rootDER, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		sub := *root
		sub.SerialNumber, sub.Subject = big.NewInt(2), request.Subject
		if root, err = x509.ParseCertificate(rootDER); err != nil {
			t.Fatal(err)
		}
		subDER, err := x509.CreateCertificate(rand.Reader, &sub, root, request.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		text := func(ders ...[]byte) (out string) {
			for _, der := range ders {
				out += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
			}
			return out
		}
		c.refused(t, 422, "BadChain", "POST /authorities/bought/import", map[string]any{"certificates": text(subDER)})
		c.want(t, http.StatusOK, "POST /authorities/bought/import", map[string]any{"certificates": text(subDER, rootDER)}, &a)
		if a.State != "active" || a.Above != text(rootDER) {
			t.Errorf("%+v", a)
		}
		c.want(t, http.StatusOK, "PATCH /authorities/bought", map[string]any{"issuing": false}, &a)
		if a.State != "disabled" {
			t.Errorf("%+v", a)
		}
	})
}
