package scep_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"chatelaine.dev/internal/access"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/lifecycle/scep"
	"chatelaine.dev/internal/pki/cms"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/vault/keystore"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is the service on a world, with a client of our own that can lie.
type rig struct {
	*World
	service *scep.Service
	codes   *passcode.Service
	doors   profile.SCEPDoor
	lists   scep.CRLs

	refusals scep.Refusals
}

// Get implements scep.Profiles: the world's, with the doors of the rig.
func (r *rig) Get(name string) (profile.Profile, error) {
	p, err := r.Profiles.Get(name)
	if p.Doors.SCEP != nil {
		d := r.doors
		p.Doors.SCEP = &d
	}
	return p, err
}

func open(w *World) *rig {
	r := &rig{World: w, lists: w.Revocation, refusals: access.NewRefusals(w.Trail, w.Time), doors: profile.SCEPDoor{Challenge: true, RenewByCertificate: true, Names: []string{"*"}}}
	r.reopen()
	return r
}

// reopen makes the services anew, as a new process would.
func (r *rig) reopen() {
	w := r.World
	r.codes = passcode.New(passcode.Deps{Store: w.Store, Profiles: r, Transact: w.DB.Transact, Audit: w.Trail, Guard: w.Floor, Now: w.Time})
	issued := pkidb.New(w.DB)
	r.service = scep.New(scep.Deps{
		Profiles: r, Road: w.Requests, Passcodes: r.codes, Issued: issued, Waiting: w.Store, CRLs: r.lists,
		Registrars: scep.NewRegistrars(scep.RegistrarDeps{Store: w.Store, Issuer: w.Issuance, Issued: issued, Keystore: keystore.NewSoftware(), Now: w.Time}),
		Refusals:   r.refusals, Now: w.Time,
	})
}

func (r *rig) passcode(t testing.TB, door, profile string, names ...string) string {
	t.Helper()
	_, secret, err := r.codes.Create(t.Context(), r.Caller, passcode.Draft{Door: door, Profile: profile, Names: names})
	must(t, err)
	return secret.Reveal()
}

// identity is what a client signs with.
type identity struct {
	key         *rsa.PrivateKey
	certificate *x509.Certificate
}

// keys are made once: RSA keys are slow to make.
var keys = sync.OnceValue(func() []*rsa.PrivateKey {
	list := make([]*rsa.PrivateKey, 3)
	for i := range list {
		list[i], _ = rsa.GenerateKey(rand.Reader, 2048)
	}
	return list
})

// selfSigned is the certificate of section 2.3.
func selfSigned(t testing.TB, now time.Time, key *rsa.PrivateKey, name string) identity {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	c, err := x509.ParseCertificate(der)
	must(t, err)
	return identity{key, c}
}

// csrWith makes a CSR with a challengePassword, which the standard library cannot.
func csrWith(t testing.TB, key *rsa.PrivateKey, challenge string, names ...string) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names}, key)
	must(t, err)
	if challenge == "" {
		return der
	}
	csr, err := x509.ParseCertificateRequest(der)
	must(t, err)
	var info struct {
		Version    int
		Subject    asn1.RawValue
		PublicKey  asn1.RawValue
		Attributes []asn1.RawValue `asn1:"tag:0,set"`
	}
	_, err = asn1.Unmarshal(csr.RawTBSCertificateRequest, &info)
	must(t, err)
	attribute, err := asn1.Marshal(struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}, []asn1.RawValue{{Tag: asn1.TagUTF8String, Bytes: []byte(challenge)}}})
	must(t, err)
	info.Attributes = append(info.Attributes, asn1.RawValue{FullBytes: attribute})
	tbs, err := asn1.Marshal(info)
	must(t, err)
	signature, err := rsaSign(key, tbs)
	must(t, err)
	out, err := asn1.Marshal(struct {
		Info      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{
		asn1.RawValue{FullBytes: tbs},
		pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, Parameters: asn1.NullRawValue},
		asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)},
	})
	must(t, err)
	return out
}

// reply is a CertRep as the client reads it.
type reply struct {
	status, why  string
	certificates []*x509.Certificate
	crls         int
}

// draft is a message to be sent.
type draft struct {
	kind        string
	transaction string
	by          identity
	content     []byte
	to          *x509.Certificate // the registrar, when nil
}

func (r *rig) message(t testing.TB, profile string, d draft) []byte {
	t.Helper()
	if d.to == nil {
		list, err := r.service.CACerts(t.Context(), profile)
		must(t, err)
		d.to, err = x509.ParseCertificate(list[0])
		must(t, err)
	}
	return sign(t, d, encrypt(t, d.content, d.to))
}

func sign(t testing.TB, d draft, envelope []byte) []byte {
	t.Helper()
	attribute := func(last int, value any) cms.SignedAttribute {
		der, err := asn1.Marshal(value)
		must(t, err)
		return cms.SignedAttribute{Type: asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, last}, Value: der}
	}
	raw, err := cms.Signer{Certificate: d.by.certificate, Key: d.by.key}.Sign(envelope,
		attribute(2, d.kind), attribute(5, []byte("0123456789abcdef")), attribute(7, d.transaction))
	must(t, err)
	return raw
}

// send sends a message and reads the answer as a client does.
func (r *rig) send(t testing.TB, profile string, d draft) reply {
	t.Helper()
	raw, err := r.service.Operation(t.Context(), profile, r.message(t, profile, d), access.Origin{Address: "192.0.2.1"})
	must(t, err)
	return r.read(t, profile, d, raw)
}

func (r *rig) read(t testing.TB, profile string, d draft, raw []byte) reply {
	t.Helper()
	p7, err := pkcs7.Parse(raw)
	must(t, err)
	must(t, p7.Verify())
	list, err := r.service.CACerts(t.Context(), profile)
	must(t, err)
	if signer := p7.GetOnlySigner(); signer == nil || !bytes.Equal(signer.Raw, list[0]) {
		t.Error("the answer is not signed by the registrar")
	}
	attribute := func(last int, to any) {
		_ = p7.UnmarshalSignedAttribute(asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, last}, to)
	}
	var a reply
	var kind, transaction string
	var nonce []byte
	attribute(2, &kind)
	attribute(3, &a.status)
	attribute(4, &a.why)
	attribute(6, &nonce)
	attribute(7, &transaction)
	if kind != "3" || transaction != d.transaction || string(nonce) != "0123456789abcdef" {
		t.Errorf("answer of type %q to transaction %q with nonce %q", kind, transaction, nonce)
	}
	if a.status != "0" {
		return a
	}
	content, err := cms.Opener{Certificate: d.by.certificate, Key: d.by.key}.Open(p7.Content)
	must(t, err)
	inner, err := pkcs7.Parse(content)
	must(t, err)
	a.certificates, a.crls = inner.Certificates, len(inner.CRLs)
	return a
}

// enrolled is an identity with a certificate of ours.
func (r *rig) enrolled(t testing.TB, profile, name string, key *rsa.PrivateKey) identity {
	t.Helper()
	by := selfSigned(t, time.Now(), key, name)
	got := r.send(t, profile, draft{kind: "19", transaction: "enrol " + name, by: by, content: csrWith(t, key, r.passcode(t, passcode.SCEP, profile, name), name)})
	if got.status != "0" || len(got.certificates) != 1 {
		t.Fatalf("enrolling %s: %+v", name, got)
	}
	return identity{key, got.certificates[0]}
}
