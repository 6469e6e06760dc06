package app_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/vault/object"
)

// bearer is a credential that has its token.
type bearer string

func (b bearer) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(b), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func certificatesOf(t *testing.T, p *apptest.Product, token string) *azcertificates.Client {
	t.Helper()
	c, err := azcertificates.NewClient(p.VaultURL("default"), bearer(token), &azcertificates.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: p.Client},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Microsoft's client registers our CA as an issuer and gets a certificate that the
// product's own root vouches for.
func TestVaultIssuesByTheBuiltInAuthority(t *testing.T) {
	p := apptest.Start(t)
	ctx := t.Context()
	ours := azcertificates.SetIssuerParameters{Provider: to.Ptr("Chatelaine"), Credentials: &azcertificates.IssuerCredentials{AccountID: to.Ptr("tls-server")}}

	officer := certificatesOf(t, p, p.Application(t, "officer", "/", "Key Vault Certificates Officer"))
	var refused *azcore.ResponseError
	if _, err := officer.SetIssuer(ctx, "internal", ours, nil); !errors.As(err, &refused) || refused.StatusCode != http.StatusForbidden {
		t.Errorf("who may not issue registered an issuer that does: %v", err)
	}
	operator := certificatesOf(t, p, p.Application(t, "operator", "/", "Key Vault Certificates Officer", "Operator"))
	if _, err := operator.SetIssuer(ctx, "internal", ours, nil); err != nil {
		t.Fatal(err)
	}
	ours.Credentials.AccountID = to.Ptr("no-such-profile")
	if _, err := operator.SetIssuer(ctx, "other", ours, nil); !errors.As(err, &refused) || refused.StatusCode != http.StatusBadRequest {
		t.Errorf("an issuer of no profile: %v", err)
	}

	op, err := officer.CreateCertificate(ctx, "web", azcertificates.CreateCertificateParameters{CertificatePolicy: &azcertificates.CertificatePolicy{
		IssuerParameters: &azcertificates.IssuerParameters{Name: to.Ptr("Internal")},
		KeyProperties:    &azcertificates.KeyProperties{KeyType: to.Ptr(azcertificates.KeyTypeEC)},
		X509CertificateProperties: &azcertificates.X509CertificateProperties{
			Subject: to.Ptr("CN=web.example"), SubjectAlternativeNames: &azcertificates.SubjectAlternativeNames{DNSNames: []*string{to.Ptr("web.example")}},
		},
	}}, nil)
	if err != nil || *op.Status != "inProgress" {
		t.Fatalf("%+v: %v", op, err)
	}
	for *op.Status == "inProgress" {
		now, err := officer.GetCertificateOperation(ctx, "web", nil)
		if err != nil {
			t.Fatal(err)
		}
		op.CertificateOperation = now.CertificateOperation
	}
	if *op.Status != "completed" || op.Target == nil {
		t.Fatalf("%s: %+v", *op.Status, op.Error)
	}

	got, err := officer.GetCertificate(ctx, "web", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(got.CER)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := p.Certificates.Export(ctx, apptest.System, object.Ref{Vault: "default", Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	above := x509.NewCertPool()
	for _, c := range kept.Certificates[1:] {
		above.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: "web.example", Roots: p.Roots, Intermediates: above}); err != nil {
		t.Error(err)
	}
}
