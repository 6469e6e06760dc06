// Command sdk uses the vault as any program written for Azure Key Vault does: Microsoft's
// own clients, unmodified, with what the environment says.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Getenv("CHATELAINE_VAULT_URL")); err != nil {
		fmt.Fprintln(os.Stderr, "sdk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, vault string) error {
	if vault == "" {
		return errors.New(`CHATELAINE_VAULT_URL is not set; run: eval "$(chatelaine env)"`)
	}
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return err
	}
	for _, use := range []func(context.Context, string, *azidentity.DefaultAzureCredential) error{useSecret, useKey, useCertificate} {
		if err := use(ctx, vault, credential); err != nil {
			return err
		}
	}
	return nil
}

func useSecret(ctx context.Context, vault string, credential *azidentity.DefaultAzureCredential) error {
	client, err := azsecrets.NewClient(vault, credential, nil)
	if err != nil {
		return err
	}
	set, err := client.SetSecret(ctx, "database-password", azsecrets.SetSecretParameters{Value: new("correct horse battery staple")}, nil)
	if err != nil {
		return err
	}
	got, err := client.GetSecret(ctx, set.ID.Name(), "", nil)
	if err != nil {
		return err
	}
	if *got.Value != "correct horse battery staple" || got.ID.Version() != set.ID.Version() {
		return fmt.Errorf("secret %s reads back as another", *got.ID)
	}
	fmt.Println("secret       ", *got.ID)
	return nil
}

func useKey(ctx context.Context, vault string, credential *azidentity.DefaultAzureCredential) error {
	client, err := azkeys.NewClient(vault, credential, nil)
	if err != nil {
		return err
	}
	made, err := client.CreateKey(ctx, "signing", azkeys.CreateKeyParameters{
		Kty: new(azkeys.KeyTypeEC), Curve: new(azkeys.CurveNameP256),
	}, nil)
	if err != nil {
		return err
	}
	kid := made.Key.KID
	digest := sha256.Sum256([]byte("a document"))
	signed, err := client.Sign(ctx, kid.Name(), kid.Version(), azkeys.SignParameters{
		Algorithm: new(azkeys.SignatureAlgorithmES256), Value: digest[:],
	}, nil)
	if err != nil {
		return err
	}
	for _, document := range []string{"a document", "another document"} {
		digest := sha256.Sum256([]byte(document))
		verified, err := client.Verify(ctx, kid.Name(), kid.Version(), azkeys.VerifyParameters{
			Algorithm: new(azkeys.SignatureAlgorithmES256), Digest: digest[:], Signature: signed.Result,
		}, nil)
		if err != nil {
			return err
		}
		if *verified.Value != (document == "a document") {
			return fmt.Errorf("the signature of %q: valid is %v", document, *verified.Value)
		}
	}
	fmt.Println("key          ", *kid, "signed and verified")
	return nil
}

func useCertificate(ctx context.Context, vault string, credential *azidentity.DefaultAzureCredential) error {
	client, err := azcertificates.NewClient(vault, credential, nil)
	if err != nil {
		return err
	}
	const name = "internal-service"
	_, err = client.CreateCertificate(ctx, name, azcertificates.CreateCertificateParameters{
		CertificatePolicy: &azcertificates.CertificatePolicy{
			IssuerParameters: &azcertificates.IssuerParameters{Name: new("Self")},
			X509CertificateProperties: &azcertificates.X509CertificateProperties{
				Subject:                 new("CN=service.example.internal"),
				SubjectAlternativeNames: &azcertificates.SubjectAlternativeNames{DNSNames: []*string{new("service.example.internal")}},
			},
		},
	}, nil)
	if err != nil {
		return err
	}
	for {
		operation, err := client.GetCertificateOperation(ctx, name, nil)
		if err != nil {
			return err
		}
		if *operation.Status == "completed" {
			break
		}
		if *operation.Status != "inProgress" {
			return fmt.Errorf("the certificate's operation is %s", *operation.Status)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	got, err := client.GetCertificate(ctx, name, "", nil)
	if err != nil {
		return err
	}
	certificate, err := x509.ParseCertificate(got.CER)
	if err != nil {
		return err
	}
	fmt.Println("certificate  ", *got.ID, "valid until", certificate.NotAfter.Format(time.DateOnly))
	return nil
}
