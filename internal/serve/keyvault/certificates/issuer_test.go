package certificates_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	issuerDoor "chatelaine.dev/internal/serve/keyvault/issuers"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/object"
)

// authority is a CA that decides when a story says so.
type authority struct {
	certs  *certificates.Service
	mu     sync.Mutex
	orders map[string]certificates.Order // by certificate
}

func (a *authority) Check(_ context.Context, o certificates.Order) error {
	if o.Profile != "tls-server" {
		return fault.New(fault.Invalid, "UnknownProfile", "there is no profile %s", o.Profile)
	}
	return nil
}

func (a *authority) Place(_ context.Context, _ access.Caller, o certificates.Order) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.orders[o.Name] = o
	return nil
}

func (a *authority) Withdraw(context.Context, string) error { return nil }

func (a *authority) order(q *wire.Request) (certificates.Order, object.Ref) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.orders[q.Name], object.Ref{Vault: q.Vault, Name: q.Name}
}

// issue is what the story calls POST /ca/{name}/issue.
func (a *authority) issue(ctx context.Context, q *wire.Request) (wire.Response, error) {
	o, r := a.order(q)
	csr, err := x509.ParseCertificateRequest(o.Request)
	if err != nil {
		return wire.Response{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return wire.Response{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: csr.Subject.CommonName}, DNSNames: csr.DNSNames,
		NotBefore: time.Unix(1795435200, 0), NotAfter: time.Unix(1803211200, 0),
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "CA"}}, csr.PublicKey, key)
	if err != nil {
		return wire.Response{}, err
	}
	_, err = a.certs.Deliver(ctx, access.System("ca"), r, o.ID, [][]byte{der})
	return wire.Response{Status: 204}, err
}

// refuse is what the story calls POST /ca/{name}/refuse.
func (a *authority) refuse(ctx context.Context, q *wire.Request) (wire.Response, error) {
	o, r := a.order(q)
	err := a.certs.Refuse(ctx, access.System("ca"), r, o.ID, certificates.Failure{Code: "RequestDenied", Message: "The request was declined by grace."})
	return wire.Response{Status: 204}, err
}

// registered are the issuers' operations, and two by which a story says what the CA does.
func registered(d object.Deps, a *authority) []wire.Operation {
	allow := func(context.Context, access.Caller, string) error { return nil }
	return append(issuerDoor.Operations(issuer.New(d, allow)),
		wire.Operation{Name: "Issue", Method: "POST", Path: "/ca/{name}/issue", Handle: a.issue},
		wire.Operation{Name: "Refuse", Method: "POST", Path: "/ca/{name}/refuse", Handle: a.refuse})
}
