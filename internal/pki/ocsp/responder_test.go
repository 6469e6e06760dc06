package ocsp_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"

	xocsp "golang.org/x/crypto/ocsp"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/ocsp"
	"chatelaine.dev/internal/pki/pkitest"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/storage/storagetest"
)

// floor is a CA whose answers are read by golang.org/x/crypto/ocsp.
type floor struct {
	*pkitest.Floor
	t      testing.TB
	db     *storage.DB
	issuer *x509.Certificate
}

func newFloor(t testing.TB, db *storage.DB) *floor {
	t.Helper()
	f := &floor{Floor: pkitest.New(t, db, pkitest.Config{StatusURL: "http://pki.test.example"}), t: t, db: db}
	der, err := f.Authorities.Certificate(t.Context(), "issuing")
	if err != nil {
		t.Fatal(err)
	}
	if f.issuer, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *floor) issue() issuance.Result {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	made, err := f.Issuance.Issue(f.t.Context(), access.System("test"), issuance.Request{Profile: "tls-server", PublicKey: &key.PublicKey, Names: profile.Names{DNS: []string{"a.test.example"}}})
	if err != nil {
		f.t.Fatal(err)
	}
	return made
}

func serialOf(c issuance.Result) *big.Int {
	n, _ := new(big.Int).SetString(c.Serial, 16)
	return n
}

func (f *floor) request(serial *big.Int, hash crypto.Hash) []byte {
	f.t.Helper()
	der, err := xocsp.CreateRequest(&x509.Certificate{SerialNumber: serial}, f.issuer, &xocsp.RequestOptions{Hash: hash})
	if err != nil {
		f.t.Fatal(err)
	}
	return der
}

// ask returns the believed answer about a serial.
func (f *floor) ask(serial *big.Int) *xocsp.Response {
	f.t.Helper()
	a := f.OCSP.Respond(f.t.Context(), "issuing", f.request(serial, crypto.SHA1))
	if a.Cause != nil {
		f.t.Fatal(a.Cause)
	}
	r, err := xocsp.ParseResponse(a.DER, f.issuer)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func (f *floor) revoke(c issuance.Result, reason string) {
	f.t.Helper()
	if _, err := f.Revocation.Revoke(f.t.Context(), access.System("test"), revocation.Request{SHA256: c.SHA256, Reason: reason}); err != nil {
		f.t.Fatal(err)
	}
}

func TestEveryAllocatedSerialIsAnswered(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := newFloor(t, db)
		good, bad := f.issue(), f.issue()
		f.revoke(bad, "keyCompromise")
		store := pkidb.New(db)
		for _, serial := range []string{"41", "42"} {
			if err := store.Intend(t.Context(), issuance.Certificate{Authority: "issuing", Serial: serial, TBS: []byte{1}, NotAfter: f.Clock().AddDate(0, 1, 0)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.Fail(t.Context(), "42", "LintRefused"); err != nil {
			t.Fatal(err)
		}

		if r := f.ask(serialOf(good)); r.Status != xocsp.Good || r.NextUpdate.Sub(r.ThisUpdate) != 24*time.Hour {
			t.Errorf("issued: %+v", r)
		}
		if r := f.ask(serialOf(bad)); r.Status != xocsp.Revoked || r.RevocationReason != xocsp.KeyCompromise || !r.RevokedAt.Equal(f.Clock()) {
			t.Errorf("revoked: %+v", r)
		}
		for _, n := range []int64{0x41, 0x42} { // intended and failed: RFC 6960 section 2.2
			r := f.ask(big.NewInt(n))
			if r.Status != xocsp.Revoked || r.RevocationReason != xocsp.CertificateHold || r.RevokedAt.Unix() != 0 || !r.NextUpdate.IsZero() ||
				!bytes.Contains(r.Raw, asn1ID(t, 1, 3, 6, 1, 5, 5, 7, 48, 1, 9)) {
				t.Errorf("%x, not issued: %+v", n, r)
			}
		}
		if r := f.ask(big.NewInt(0x43)); r.Status != xocsp.Unknown || !r.NextUpdate.IsZero() {
			t.Errorf("never allocated: %+v", r)
		}
	})
}

func asn1ID(t *testing.T, arcs ...int) []byte {
	t.Helper()
	der, err := asn1.Marshal(asn1.ObjectIdentifier(arcs))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// The first question after a revocation, a hold and a release gets the new answer, though
// the one before is kept.
func TestAChangeIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	f := newFloor(t, storagetest.SQLite(t))
	c := f.issue()
	for _, step := range []struct {
		do   func()
		want int
	}{
		{func() {}, xocsp.Good}, {func() { f.revoke(c, revocation.Hold) }, xocsp.Revoked},
		{func() {
			if _, err := f.Revocation.Release(t.Context(), access.System("test"), revocation.Request{SHA256: c.SHA256}); err != nil {
				t.Fatal(err)
			}
		}, xocsp.Good},
		{func() { f.revoke(c, "superseded") }, xocsp.Revoked},
	} {
		step.do()
		for range 2 {
			if r := f.ask(serialOf(c)); r.Status != step.want {
				t.Errorf("status %d, want %d", r.Status, step.want)
			}
		}
	}
}

// Another node revokes: this one is not told, and answers anew within two seconds.
func TestAChangeOfAnotherNodeIsAnsweredWithinSeconds(t *testing.T) {
	t.Parallel()
	f := newFloor(t, storagetest.SQLite(t))
	c := f.issue()
	other := pkidb.New(f.db)
	if r := f.ask(serialOf(c)); r.Status != xocsp.Good {
		t.Fatalf("%+v", r)
	}
	if _, _, err := other.Revoke(t.Context(), revocation.Revocation{Authority: "issuing", Serial: c.Serial, Reason: "superseded", At: f.Clock()}); err != nil {
		t.Fatal(err)
	}

	f.Set(f.Clock().Add(2 * time.Second))

	if r := f.ask(serialOf(c)); r.Status != xocsp.Revoked {
		t.Errorf("%+v", r)
	}
}

// An answer is signed once and kept, signed anew after half of its life, and also when the
// clock went back to before it.
func TestAnswersAreKeptForHalfOfTheirLife(t *testing.T) {
	t.Parallel()
	f := newFloor(t, storagetest.SQLite(t))
	q := f.request(serialOf(f.issue()), crypto.SHA256)
	at := f.Clock()
	get := func(d time.Duration) []byte {
		t.Helper()
		f.Set(at.Add(d))
		a := f.OCSP.Respond(t.Context(), "issuing", q)
		if a.Cause != nil || a.Tag == "" {
			t.Fatal(a.Cause)
		}
		return a.DER
	}
	first := get(0)

	if !bytes.Equal(first, get(11*time.Hour)) {
		t.Error("signed anew after 11 hours")
	}
	if later := get(12 * time.Hour); bytes.Equal(first, later) {
		t.Error("not signed anew after half a day")
	}
	if bytes.Equal(get(12*time.Hour), get(0)) {
		t.Error("after the clock went back, the answer begins in the future")
	}
}

// The signer is replaced ahead, and never signs beyond its end.
func TestSignersAreReplacedAhead(t *testing.T) {
	t.Parallel()
	f := newFloor(t, storagetest.SQLite(t))
	c := f.issue()
	first := f.ask(serialOf(c)).Certificate
	if len(first.ExtKeyUsage) != 1 || first.ExtKeyUsage[0] != x509.ExtKeyUsageOCSPSigning || !bytes.Contains(first.Raw, asn1ID(t, 1, 3, 6, 1, 5, 5, 7, 48, 1, 5)) {
		t.Errorf("the signer: %+v", first)
	}
	for range 30 {
		f.Set(f.Clock().Add(12 * time.Hour))
		f.OCSP.Renew(t.Context())
		r := f.ask(serialOf(c))
		if r.Certificate.NotAfter.Before(r.NextUpdate) || f.Clock().After(r.Certificate.NotAfter) {
			t.Fatalf("at %s the signer ends at %s, its answer at %s", f.Clock(), r.Certificate.NotAfter, r.NextUpdate)
		}
	}
	if r := f.ask(serialOf(c)); bytes.Equal(r.Certificate.Raw, first.Raw) {
		t.Error("the signer is the first one still")
	}
}

// nonceRequest adds a nonce to a request about one certificate.
func nonceRequest(t testing.TB, plain, nonce []byte) []byte {
	t.Helper()
	type extension struct {
		ID    asn1.ObjectIdentifier
		Value []byte
	}
	var q struct{ TBS struct{ List asn1.RawValue } }
	if _, err := asn1.Unmarshal(plain, &q); err != nil {
		t.Fatal(err)
	}
	value, err := asn1.Marshal(nonce)
	if err != nil {
		t.Fatal(err)
	}
	type tbs struct {
		List       asn1.RawValue
		Extensions []extension `asn1:"explicit,tag:2"`
	}
	der, err := asn1.Marshal(struct{ TBS tbs }{tbs{q.TBS.List, []extension{{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}, value}}}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestANonceComesBackAndIsNotKept(t *testing.T) {
	t.Parallel()
	f := newFloor(t, storagetest.SQLite(t))
	plain := f.request(serialOf(f.issue()), crypto.SHA1)
	for _, n := range []int{1, 32, 128} {
		nonce := bytes.Repeat([]byte{0xa5}, n)
		a := f.OCSP.Respond(t.Context(), "issuing", nonceRequest(t, plain, nonce))
		if a.Cause != nil || a.Tag != "" || !a.NextUpdate.IsZero() || !bytes.Contains(a.DER, nonce) {
			t.Errorf("%d bytes: %v, tag %q", n, a.Cause, a.Tag)
		}
		if _, err := xocsp.ParseResponse(a.DER, f.issuer); err != nil {
			t.Error(err)
		}
	}
	if a := f.OCSP.Respond(t.Context(), "issuing", plain); bytes.Contains(a.DER, bytes.Repeat([]byte{0xa5}, 32)) {
		t.Error("the nonce of one is in the answer for another")
	}
	for _, n := range []int{0, 129} {
		if a := f.OCSP.Respond(t.Context(), "issuing", nonceRequest(t, plain, make([]byte, n))); a.Cause == nil || a.DER[4] != 1 {
			t.Errorf("a nonce of %d bytes was taken", n)
		}
	}
}

func TestWhatCannotBeAnsweredGetsTheErrorOfTheProtocol(t *testing.T) {
	t.Parallel()
	f := newFloor(t, storagetest.SQLite(t))
	plain := f.request(serialOf(f.issue()), crypto.SHA1)
	for _, c := range []struct {
		name, authority string
		request         []byte
		status          byte
	}{
		{"nothing", "issuing", nil, 1}, {"no DER", "issuing", []byte("hello"), 1}, {"half", "issuing", plain[:len(plain)/2], 1},
		{"more", "issuing", append(bytes.Clone(plain), 0), 1}, {"no such authority", "absent", plain, 6}, {"no id", "../x", plain, 6},
	} {
		a := f.OCSP.Respond(t.Context(), c.authority, c.request)
		if !bytes.Equal(a.DER, []byte{0x30, 3, 0x0a, 1, c.status}) || a.Cause == nil {
			t.Errorf("%s: %x, %v", c.name, a.DER, a.Cause)
		}
	}
	if a := f.OCSP.Respond(t.Context(), "root", plain); a.Cause != nil { // another issuer's certificate
		t.Error(a.Cause)
	} else if r, err := xocsp.ParseResponse(a.DER, nil); err != nil || r.Status != xocsp.Unknown {
		t.Errorf("another issuer: %+v, %v", r, err)
	}
}

// away is a database that is away.
type away struct{ ocsp.Store }

var errAway = errors.New("the database is away")

func (away) SerialChanges(context.Context, string, int64, int) ([]string, int64, error) {
	return nil, 0, errAway
}

// No answer is better than an old one: a node that cannot look for changes says tryLater.
func TestANodeThatCannotLookDoesNotAnswerFromMemory(t *testing.T) {
	t.Parallel()
	f := newFloor(t, storagetest.SQLite(t))
	q := f.request(serialOf(f.issue()), crypto.SHA1)
	r := ocsp.New(ocsp.Deps{Store: away{pkidb.New(f.db)}, Authorities: f.Authorities, Now: f.Clock, Log: f.Log()})

	a := r.Respond(t.Context(), "issuing", q)

	if !errors.Is(a.Cause, errAway) || a.DER[4] != 3 {
		t.Errorf("%x, %v", a.DER, a.Cause)
	}
}

// FuzzRequest: whatever arrives, something readable goes back.
func FuzzRequest(f *testing.F) {
	w := newFloor(f, storagetest.SQLite(f))
	plain := w.request(serialOf(w.issue()), crypto.SHA1)
	f.Add(plain)
	f.Add(w.request(big.NewInt(0x1234), crypto.SHA256))
	f.Add(nonceRequest(f, plain, make([]byte, 16)))
	f.Add([]byte{})
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, request []byte) {
		a := w.OCSP.Respond(t.Context(), "issuing", request)
		if a.Cause != nil {
			if len(a.DER) != 5 {
				t.Fatalf("%x", a.DER)
			}
			return
		}
		var outer asn1.RawValue
		if rest, err := asn1.Unmarshal(a.DER, &outer); err != nil || len(rest) > 0 {
			t.Fatalf("%x: %v", a.DER, err)
		}
	})
}
