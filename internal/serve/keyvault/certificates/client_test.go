package certificates_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
	"chatelaine.dev/internal/vault/pfx"
)

// direct hands a client's requests to the door without a network.
type direct struct{ door http.Handler }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody // as a server has it
	}
	w := httptest.NewRecorder()
	d.door.ServeHTTP(w, r)
	res := w.Result()
	res.Request = r
	return res, nil
}

type tokens struct{}

func (tokens) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(o.Scopes) != 1 || o.Scopes[0] != "https://example.com:8443/.default" {
		return azcore.AccessToken{}, fmt.Errorf("the challenge asks for %v", o.Scopes)
	}
	return azcore.AccessToken{Token: "token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// clients are Microsoft's, with their checks of the challenge left on.
func clients(t *testing.T) (*azcertificates.Client, *azsecrets.Client) {
	t.Helper()
	o := azcore.ClientOptions{Transport: direct{keyvaulttest.Start(t, operations)}}
	certs, err := azcertificates.NewClient(keyvaulttest.Origin, tokens{}, &azcertificates.ClientOptions{ClientOptions: o})
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := azsecrets.NewClient(keyvaulttest.Origin, tokens{}, &azsecrets.ClientOptions{ClientOptions: o})
	if err != nil {
		t.Fatal(err)
	}
	return certs, secrets
}

func status(err error) int {
	var r *azcore.ResponseError
	if errors.As(err, &r) {
		return r.StatusCode
	}
	return 0
}

func TestMicrosoftsClientUsesASelfSignedCertificate(t *testing.T) {
	c, s := clients(t)
	ctx := t.Context()
	sent := azcertificates.CertificatePolicy{
		IssuerParameters: &azcertificates.IssuerParameters{Name: to.Ptr("self"), CertificateTransparency: to.Ptr(false)},
		KeyProperties:    &azcertificates.KeyProperties{Exportable: to.Ptr(true), KeySize: to.Ptr(int32(2048)), KeyType: to.Ptr(azcertificates.KeyTypeRSA), ReuseKey: to.Ptr(true)},
		SecretProperties: &azcertificates.SecretProperties{ContentType: to.Ptr("application/x-pem-file")},
		LifetimeActions: []*azcertificates.LifetimeAction{{
			Action:  &azcertificates.LifetimeActionType{ActionType: to.Ptr(azcertificates.CertificatePolicyActionEmailContacts)},
			Trigger: &azcertificates.LifetimeActionTrigger{LifetimePercentage: to.Ptr(int32(98))},
		}},
		X509CertificateProperties: &azcertificates.X509CertificateProperties{
			EnhancedKeyUsage: []*string{to.Ptr("1.3.6.1.5.5.7.3.1")}, KeyUsage: []*azcertificates.KeyUsageType{to.Ptr(azcertificates.KeyUsageTypeDataEncipherment)},
			Subject: to.Ptr("CN=a"), SubjectAlternativeNames: &azcertificates.SubjectAlternativeNames{DNSNames: []*string{to.Ptr("a.example")}, IPAddresses: []*string{to.Ptr("2001:0db8::1")}},
			ValidityInMonths: to.Ptr(int32(3)),
		},
	}
	op, err := c.CreateCertificate(ctx, "a", azcertificates.CreateCertificateParameters{CertificatePolicy: &sent, PreserveCertOrder: to.Ptr(true)}, nil)
	if err != nil || *op.Status != "inProgress" || len(op.CSR) == 0 || *op.RequestID == "" || !*op.PreserveCertOrder {
		t.Fatalf("%+v: %v", op, err)
	}
	if op, err := c.GetCertificateOperation(ctx, "a", nil); err != nil || *op.Status != "completed" {
		t.Fatalf("%+v: %v", op, err)
	}

	p, err := c.GetCertificatePolicy(ctx, "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	p.ID, p.Attributes = nil, nil
	if d := cmp.Diff(sent, p.CertificatePolicy); d != "" {
		t.Errorf("the policy came back otherwise (-sent +got):\n%s", d)
	}
	got, err := c.GetCertificate(ctx, "a", "", nil)
	if err != nil || got.ID.Version() == "" || got.KID == nil || got.SID.Version() != got.ID.Version() {
		t.Fatalf("%+v: %v", got, err)
	}
	secret, err := s.GetSecret(ctx, "a", got.ID.Version(), nil)
	if err != nil || *secret.ContentType != "application/x-pem-file" || !*secret.Managed {
		t.Fatal(err)
	}
	if b, err := pfx.DecodePEM([]byte(*secret.Value), ""); err != nil || !cmp.Equal(b.Certificates[0].Raw, got.CER) {
		t.Errorf("the secret holds another certificate: %v", err)
	}

	deleted, err := c.DeleteCertificate(ctx, "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.GetDeletedCertificate(ctx, "a", nil)
	if d := cmp.Diff(deleted.DeletedCertificate, again.DeletedCertificate); err != nil || d != "" {
		t.Errorf("deleted, then read (%v):\n%s", err, d)
	}
	recovered, err := c.RecoverDeletedCertificate(ctx, "a", nil)
	if d := cmp.Diff(got.Certificate, recovered.Certificate); err != nil || d != "" {
		t.Errorf("recovered (%v):\n%s", err, d)
	}
	if _, err := c.DeleteCertificate(ctx, "a", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PurgeDeletedCertificate(ctx, "a", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetSecret(ctx, "a", "", nil); status(err) != http.StatusNotFound {
		t.Errorf("the secret of a purged certificate: %v", err)
	}
}

func TestMicrosoftsClientMergesAndImports(t *testing.T) {
	c, s := clients(t)
	ctx := t.Context()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(cn string, pub any) []byte {
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: cn}, NotBefore: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
		}, &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}}, pub, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	unknown := azcertificates.CertificatePolicy{
		IssuerParameters:          &azcertificates.IssuerParameters{Name: to.Ptr("Unknown")},
		X509CertificateProperties: &azcertificates.X509CertificateProperties{Subject: to.Ptr("CN=b")},
	}
	op, err := c.CreateCertificate(ctx, "b", azcertificates.CreateCertificateParameters{CertificatePolicy: &unknown}, nil)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseCertificateRequest(op.CSR)
	if err != nil || csr.CheckSignature() != nil {
		t.Fatal("the request", err)
	}
	leaf := issue("b", csr.PublicKey)
	if _, err := c.MergeCertificate(ctx, "b", azcertificates.MergeCertificateParameters{X509Certificates: [][]byte{issue("b", key.Public())}}, nil); status(err) != http.StatusBadRequest {
		t.Errorf("merge of another key's certificate: %v", err)
	}
	merged, err := c.MergeCertificate(ctx, "b", azcertificates.MergeCertificateParameters{X509Certificates: [][]byte{leaf}, Tags: map[string]*string{"k": to.Ptr("v")}}, nil)
	if err != nil || !cmp.Equal(merged.CER, leaf) || *merged.Tags["k"] != "v" || merged.Policy == nil || !merged.Attributes.NotBefore.Equal(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Fatalf("%+v: %v", merged, err)
	}

	own := issue("c", key.Public())
	parsed, err := x509.ParseCertificate(own)
	if err != nil {
		t.Fatal(err)
	}
	der, err := pfx.Encode(pfx.Bundle{Key: key, Certificates: []*x509.Certificate{parsed}})
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})) + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own}))
	for name, value := range map[string]string{"pfx": base64.StdEncoding.EncodeToString(der), "pem": text} {
		imported, err := c.ImportCertificate(ctx, name, azcertificates.ImportCertificateParameters{Base64EncodedCertificate: &value}, nil)
		if err != nil || !cmp.Equal(imported.CER, own) || *imported.Policy.IssuerParameters.Name != "Unknown" || *imported.Policy.X509CertificateProperties.Subject != "CN=c" {
			t.Errorf("%s: %+v: %v", name, imported, err)
		}
		secret, err := s.GetSecret(ctx, name, "", nil)
		if err != nil || *secret.ContentType != map[string]string{"pfx": "application/x-pkcs12", "pem": "application/x-pem-file"}[name] {
			t.Errorf("%s: %v", name, err)
		}
	}

	count := 0
	for pager := c.NewListCertificatePropertiesPager(nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		count += len(page.Value)
	}
	if count != 3 {
		t.Errorf("%d certificates are listed, want 3", count)
	}
}
