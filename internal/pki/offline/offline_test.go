package offline_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/offline"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/signature"
	"chatelaine.dev/internal/vault/keystore"
)

const year = 365 * 24 * time.Hour

var (
	minutes = offline.Minutes{Witnesses: []string{"Ada Lovelace", "Grace Hopper"}, Program: "test", Machine: "vault room"}
	now     = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
)

func clock() time.Time { return now }

// room is a root with its key and log.
type room struct {
	*offline.Root
	key offline.Key
	log []offline.Record
}

func newRoom(t *testing.T, key string) *room {
	t.Helper()
	spec, err := keystore.AuthoritySpec(key)
	if err != nil {
		t.Fatal(err)
	}
	r, k, rec, err := offline.Create(t.Context(), authority.Spec{CommonName: "Offline Root", Key: spec, Validity: 20 * year}, minutes, clock)
	if err != nil {
		t.Fatal(err)
	}
	return &room{r, k, []offline.Record{rec}}
}

func csr(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// publishedCSR is of the key that every test server of Go has.
func publishedCSR(t *testing.T) []byte {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "Two CA"}}, server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (r *room) certify(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	rec, err := r.Certify(r.log, csr(t, name), offline.Terms{Validity: 5 * year, CRL: "http://pki.example.com/root.crl"}, minutes)
	if err != nil {
		t.Fatal(err)
	}
	r.log = append(r.log, rec)
	block, _ := pem.Decode([]byte(rec.Certificate))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnOfflineRootOfAnyKeyCertifiesRevokesAndItsLogVerifies(t *testing.T) {
	for _, key := range []string{"P-384", "RSA 4096", "Ed25519", "ML-DSA-87", "SLH-DSA-SHA2-128f"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, key)
			one, two := r.certify(t, "One CA"), r.certify(t, "Two CA")

			reopened, err := offline.Open(t.Context(), r.key, r.log, clock)
			if err != nil {
				t.Fatal(err)
			}
			r.Root = reopened
			rec, err := r.Revoke(r.log, []string{issuance.FormatSerial(one.SerialNumber)}, year, minutes)
			if err != nil {
				t.Fatal(err)
			}
			r.log = append(r.log, rec)

			root, err := offline.Verify(reread(t, r.log))
			if err != nil || !root.Equal(r.Certificate) {
				t.Fatal(err)
			}
			for _, c := range []*x509.Certificate{one, two} {
				if err := signature.CheckFrom(c, root); err != nil || c.MaxPathLen != 0 || !c.MaxPathLenZero || !c.IsCA || len(c.CRLDistributionPoints) != 1 {
					t.Errorf("%+v, %v", c, err)
				}
			}
			block, _ := pem.Decode([]byte(rec.CRL))
			list, err := x509.ParseRevocationList(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if err := signature.CheckListFrom(list, root); err != nil || len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].SerialNumber.Cmp(one.SerialNumber) != 0 {
				t.Errorf("%+v, %v", list.RevokedCertificateEntries, err)
			}
		})
	}
}

// reread is the log as its files give it back.
func reread(t *testing.T, log []offline.Record) []offline.Record {
	t.Helper()
	var out []offline.Record
	for _, rec := range log {
		again, err := offline.Parse(rec.Text())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, again)
	}
	return out
}

func TestALogThatWasTamperedWithDoesNotVerify(t *testing.T) {
	r := newRoom(t, "P-256")
	r.certify(t, "One CA")
	r.certify(t, "Two CA")
	r.certify(t, "Three CA")
	other := newRoom(t, "P-256")
	other.certify(t, "One CA")
	good := reread(t, r.log)
	edit := func(at int, from, to string) []offline.Record {
		text := strings.Replace(string(good[at].Text()), from, to, 1)
		rec, err := offline.Parse([]byte(text))
		if err != nil || text == string(good[at].Text()) {
			t.Fatalf("%q: %v", from, err)
		}
		log := append([]offline.Record{}, good...)
		log[at] = rec
		return log
	}
	for why, log := range map[string][]offline.Record{
		"nothing":             nil,
		"a witness renamed":   edit(1, "Ada Lovelace", "Eve Lovelace"),
		"a time changed":      edit(3, "2026-09-01T12", "2026-09-01T13"),
		"one left out":        {good[0], good[1], good[3]},
		"the first left out":  good[1:],
		"two swapped":         {good[0], good[2], good[1], good[3]},
		"one twice":           {good[0], good[1], good[1]},
		"one of another root": {good[0], other.log[1]},
	} {
		if _, err := offline.Verify(log); !fault.HasCode(err, "BadRecord") {
			t.Errorf("%s: %v", why, err)
		}
	}
	if _, err := offline.Verify(good); err != nil {
		t.Error(err)
	}
}

func TestAnOfflineRootRefuses(t *testing.T) {
	r := newRoom(t, "P-256")
	made := r.certify(t, "One CA")
	flipped := bytes.Clone(csr(t, "Two CA"))
	block, _ := pem.Decode(flipped)
	block.Bytes[len(block.Bytes)-3] ^= 1
	five := offline.Terms{Validity: 5 * year}
	for _, c := range []struct {
		why  string
		do   func() error
		code string
	}{
		{"no CSR", func() error { _, err := r.Certify(r.log, []byte("hello"), five, minutes); return err }, "BadCSR"},
		{"a CSR that its key did not sign", func() error { _, err := r.Certify(r.log, block.Bytes, five, minutes); return err }, "BadCSR"},
		{"a key that was published", func() error { _, err := r.Certify(r.log, publishedCSR(t), five, minutes); return err }, "WeakKey"},
		{"the root's name", func() error { _, err := r.Certify(r.log, csr(t, "Offline Root"), five, minutes); return err }, "BadName"},
		{"longer than the root", func() error {
			_, err := r.Certify(r.log, csr(t, "Two CA"), offline.Terms{Validity: 25 * year}, minutes)
			return err
		}, "ValidityNotAllowed"},
		{"no witness", func() error { _, err := r.Certify(r.log, csr(t, "Two CA"), five, offline.Minutes{}); return err }, "NoWitness"},
		{"an address that is none", func() error {
			_, err := r.Certify(r.log, csr(t, "Two CA"), offline.Terms{Validity: year, CRL: "pki.example.com"}, minutes)
			return err
		}, "BadAddress"},
		{"a bad constraint", func() error {
			_, err := r.Certify(r.log, csr(t, "Two CA"), offline.Terms{Validity: year, Limits: authority.Limits{Permitted: profile.Names{DNS: []string{"*.example.com"}}}}, minutes)
			return err
		}, "BadConstraint"},
		{"a serial that nobody knows", func() error { _, err := r.Revoke(r.log, []string{"01"}, year, minutes); return err }, "UnknownCertificate"},
		{"a serial twice", func() error {
			s := issuance.FormatSerial(made.SerialNumber)
			_, err := r.Revoke(r.log, []string{s, s}, year, minutes)
			return err
		}, "AlreadyRevoked"},
		{"another key", func() error { _, err := offline.Open(t.Context(), newRoom(t, "P-256").key, r.log, clock); return err }, "BadKey"},
		{"a clock that went back", func() error {
			early, err := offline.Open(t.Context(), r.key, r.log, func() time.Time { return now.Add(-time.Hour) })
			if err != nil {
				return err
			}
			_, err = early.Certify(r.log, csr(t, "Two CA"), five, minutes)
			return err
		}, "ClockBehind"},
	} {
		if err := c.do(); !fault.HasCode(err, c.code) {
			t.Errorf("%s: %v, want %s", c.why, err, c.code)
		}
	}
}

// signer is the root's key, as somebody has it who means ill.
func (r *room) signer(t *testing.T) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode(r.key)
	key, err := keystore.OpenSigner(t.Context(), keystore.NewSoftware(), block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// forge changes the last record, signs it again with the root's key, and verifies the log.
func (r *room) forge(t *testing.T, change func(*offline.Record)) error {
	t.Helper()
	last := r.log[len(r.log)-1]
	change(&last)
	body, err := json.Marshal(last)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := issuance.SignStatement(r.signer(t), body)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := offline.Parse(append(body, pem.EncodeToMemory(&pem.Block{Type: "CEREMONY SIGNATURE", Bytes: signed})...))
	if err != nil {
		t.Fatal(err)
	}
	_, err = offline.Verify(append(reread(t, r.log[:len(r.log)-1]), forged))
	return err
}

func (r *room) revoke(t *testing.T, c *x509.Certificate) {
	t.Helper()
	rec, err := r.Revoke(r.log, []string{issuance.FormatSerial(c.SerialNumber)}, year, minutes)
	if err != nil {
		t.Fatal(err)
	}
	r.log = append(r.log, rec)
}

// The signature of the root under a record is not enough: it must follow the one before,
// and what it tells of must be the root's own work.
func TestARecordThatTheRootHasSignedIsHeldToWhatItTells(t *testing.T) {
	t.Parallel()
	r, other := newRoom(t, "P-256"), newRoom(t, "P-256")
	r.certify(t, "One CA")
	r.certify(t, "Two CA")
	one, two := r.log[1], r.log[2]
	other.certify(t, "Two CA")
	other.revoke(t, other.certify(t, "Three CA"))

	if err := r.forge(t, func(*offline.Record) {}); err != nil {
		t.Errorf("unchanged: %v", err)
	}
	for why, change := range map[string]func(*offline.Record){
		"it follows another record":          func(x *offline.Record) { x.Previous = one.Previous },
		"it is of another root":              func(x *offline.Record) { x.Root = other.log[0].Root },
		"it is of an earlier time":           func(x *offline.Record) { x.Time = x.Time.Add(-time.Hour) },
		"the CSR is another":                 func(x *offline.Record) { x.Request = one.Request },
		"the CSR is missing":                 func(x *offline.Record) { x.Request = "" },
		"a serial comes twice":               func(x *offline.Record) { x.Request, x.Certificate = one.Request, one.Certificate },
		"the certificate is somebody else's": func(x *offline.Record) { x.Request, x.Certificate = other.log[1].Request, other.log[1].Certificate },
		"a second root":                      func(x *offline.Record) { x.Operation = offline.CreateRoot },
		"an operation that there is not":     func(x *offline.Record) { x.Operation = "destroy" },
		"the CRL is somebody else's":         func(x *offline.Record) { x.Operation, x.CRL = offline.Revoke, other.empty(t) },
	} {
		if err := r.forge(t, change); !fault.HasCode(err, "BadRecord") {
			t.Errorf("%s: %v", why, err)
		}
	}
	if err := r.forge(t, func(x *offline.Record) { x.Operation, x.CRL = offline.Revoke, r.empty(t) }); err != nil || two.Operation != offline.Certify {
		t.Errorf("a CRL of its own: %v", err)
	}
}

// empty is a CRL with nothing on it.
func (r *room) empty(t *testing.T) string {
	t.Helper()
	return r.list(t, 50)
}

func (r *room) list(t *testing.T, number int64, serials ...*big.Int) string {
	t.Helper()
	var entries []x509.RevocationListEntry
	for _, n := range serials {
		entries = append(entries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: now})
	}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		RevokedCertificateEntries: entries, Number: big.NewInt(number), ThisUpdate: now, NextUpdate: now.Add(year),
	}, r.Certificate, r.signer(t))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

// Whoever has the root's key can sign a CRL without a revoked certificate; the log shows it.
func TestALogWhoseCRLForgetsARevocationDoesNotVerify(t *testing.T) {
	t.Parallel()
	r := newRoom(t, "P-256")
	one, two := r.certify(t, "One CA"), r.certify(t, "Two CA")
	r.revoke(t, one)
	r.revoke(t, two)
	forge := func(number int64, serials ...*big.Int) error {
		return r.forge(t, func(x *offline.Record) { x.CRL = r.list(t, number, serials...) })
	}

	if _, err := offline.Verify(reread(t, r.log)); err != nil {
		t.Errorf("the log of two revocations: %v", err)
	}
	if err := forge(99, one.SerialNumber, two.SerialNumber); err != nil {
		t.Errorf("a whole CRL: %v", err)
	}
	for why, err := range map[string]error{
		"a revocation is gone":         forge(99, two.SerialNumber),
		"a serial that was not issued": forge(99, one.SerialNumber, two.SerialNumber, big.NewInt(4711)),
		"the number stands still":      forge(4, one.SerialNumber, two.SerialNumber),
	} {
		if !fault.HasCode(err, "BadRecord") {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestTheKeyOfARootNeverPrints(t *testing.T) {
	r := newRoom(t, "P-256")
	for _, verb := range []string{"%v", "%s", "%x", "%d", "%+v", "%#v", "%q"} {
		if out := fmt.Sprintf(verb, r.key); out != "[private key]" {
			t.Errorf("%s prints %q", verb, out)
		}
	}
}
