package list_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"chatelaine.dev/internal/pki/revocation/list"
	"chatelaine.dev/internal/pki/signature"
	"chatelaine.dev/internal/vault/keystore/slhdsa"
)

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func ca(t testing.TB, key crypto.Signer) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: noon, NotAfter: noon.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign | x509.KeyUsageCertSign, SubjectKeyId: []byte{1, 2, 3, 4},
	}
	if pub, ok := key.Public().(*slhdsa.PublicKey); ok { // crypto/x509 makes no such certificate
		subject, err := asn1.Marshal(tmpl.Subject.ToRDNSequence())
		if err != nil {
			t.Fatal(err)
		}
		tmpl.RawSubject, tmpl.PublicKey = subject, pub
		return tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func keys(t testing.TB) map[string]crypto.Signer {
	t.Helper()
	out := map[string]crypto.Signer{}
	add := func(name string, k crypto.Signer, err error) {
		if err != nil {
			t.Fatal(err)
		}
		out[name] = k
	}
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		add(c.Params().Name, k, err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	add("RSA", r, err)
	_, e, err := ed25519.GenerateKey(rand.Reader)
	add("Ed25519", e, err)
	for i, p := range []mldsa.Parameters{mldsa.MLDSA44(), mldsa.MLDSA65(), mldsa.MLDSA87()} {
		k, err := mldsa.GenerateKey(p)
		add(fmt.Sprint("ML-DSA ", i), k, err)
	}
	h, err := slhdsa.Generate("SLH-DSA-SHA2-128f")
	add("SLH-DSA", h, err)
	return out
}

// What we write with any key is what crypto/x509 reads and believes.
func TestEveryKeySignsAListThatIsBelieved(t *testing.T) {
	t.Parallel()
	for name, key := range keys(t) {
		issuer := ca(t, key)
		for _, n := range []int{0, 1, 3} {
			var b list.Builder
			for i := range n {
				if err := b.Add(list.Entry{Serial: []byte{byte(0x7f + i)}, RevokedAt: noon, Reason: i}); err != nil {
					t.Fatal(err)
				}
			}
			der, err := list.List{Number: 7, ThisUpdate: noon, NextUpdate: noon.Add(time.Hour), Entries: b.Entries()}.Sign(issuer, key)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := x509.ParseRevocationList(der)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := signature.CheckListFrom(got, issuer); err != nil || len(got.RevokedCertificateEntries) != n || got.Number.Int64() != 7 {
				t.Errorf("%s: %d entries, %v", name, len(got.RevokedCertificateEntries), err)
			}
		}
	}
}

// Whatever is added, replaced and removed, in whatever steps: the bytes that are signed
// are those that crypto/x509 writes for the same entries.
func TestAListIsWhatTheStandardLibraryWrites(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(rand.Reader) // signs the same way every time
	if err != nil {
		t.Fatal(err)
	}
	issuer := ca(t, key)
	rapid.Check(t, func(rt *rapid.T) {
		model := map[string]list.Entry{}
		var entries list.Entries
		for range rapid.IntRange(0, 6).Draw(rt, "steps") {
			var changes []list.Change
			for range rapid.IntRange(0, 20).Draw(rt, "changes") {
				serial := rapid.SliceOfN(rapid.Byte(), 1, 3).Draw(rt, "serial")
				n := new(big.Int).SetBytes(serial)
				if n.Sign() == 0 {
					continue
				}
				c := list.Change{Gone: rapid.IntRange(0, 3).Draw(rt, "gone") == 0, Entry: list.Entry{
					Serial: serial, Reason: rapid.SampledFrom([]int{0, 1, 6, 9}).Draw(rt, "reason"),
					RevokedAt: noon.AddDate(rapid.IntRange(0, 60).Draw(rt, "years"), 0, 0),
				}}
				changes = append(changes, c)
				if c.Serial = n.Bytes(); c.Gone {
					delete(model, n.String())
				} else {
					model[n.String()] = c.Entry
				}
			}
			if entries, err = entries.With(changes); err != nil {
				rt.Fatal(err)
			}
		}
		want := &x509.RevocationList{Number: big.NewInt(5), ThisUpdate: noon, NextUpdate: noon.Add(time.Hour)}
		var built list.Builder // takes them in any order
		for _, e := range model {
			if err := built.Add(e); err != nil {
				rt.Fatal(err)
			}
			want.RevokedCertificateEntries = append(want.RevokedCertificateEntries, x509.RevocationListEntry{
				SerialNumber: new(big.Int).SetBytes(e.Serial), RevocationTime: e.RevokedAt, ReasonCode: e.Reason,
			})
		}
		sortEntries(want.RevokedCertificateEntries)
		wanted, err := x509.CreateRevocationList(rand.Reader, want, issuer, key)
		if err != nil {
			rt.Fatal(err)
		}
		for how, e := range map[string]list.Entries{"step by step": entries, "at once": built.Entries()} {
			got, err := list.List{Number: 5, ThisUpdate: noon, NextUpdate: noon.Add(time.Hour), Entries: e}.Sign(issuer, key)
			if err != nil {
				rt.Fatal(err)
			}
			if d := cmp.Diff(wanted, got); d != "" || e.Len() != len(model) {
				rt.Fatalf("%s, %d entries of %d: %s", how, e.Len(), len(model), d)
			}
		}
	})
}

func sortEntries(e []x509.RevocationListEntry) {
	for i := range e {
		for j := i; j > 0 && e[j].SerialNumber.Cmp(e[j-1].SerialNumber) < 0; j-- {
			e[j], e[j-1] = e[j-1], e[j]
		}
	}
}

func TestDeltasAndPartsSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer := ca(t, key)
	entries, err := list.Entries{}.With([]list.Change{{Entry: list.Entry{Serial: []byte{1}, RevokedAt: noon, Reason: list.RemoveFromCRL, InvalidSince: noon.Add(-time.Hour)}}})
	if err != nil {
		t.Fatal(err)
	}
	der, err := list.List{Number: 9, Base: 4, ThisUpdate: noon, NextUpdate: noon.Add(time.Hour), Entries: entries, Scope: "http://a/1.crl", Freshest: "http://a/delta.crl"}.Sign(issuer, key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}

	var base int
	var idp struct {
		Point struct {
			Full []asn1.RawValue `asn1:"tag:0"`
		} `asn1:"tag:0"`
	}
	seen := map[string]bool{}
	for _, x := range got.Extensions {
		seen[x.Id.String()] = x.Critical
		switch x.Id.String() {
		case "2.5.29.27":
			_, err = asn1.Unmarshal(x.Value, &base)
		case "2.5.29.28":
			_, err = asn1.Unmarshal(x.Value, &idp)
		}
		if err != nil {
			t.Fatalf("%s: %v", x.Id, err)
		}
	}
	if d := cmp.Diff(map[string]bool{"2.5.29.35": false, "2.5.29.20": false, "2.5.29.27": true, "2.5.29.28": true, "2.5.29.46": false}, seen); d != "" {
		t.Error(d)
	}
	if base != 4 || len(idp.Point.Full) != 1 || string(idp.Point.Full[0].Bytes) != "http://a/1.crl" {
		t.Errorf("base %d, scope %+v", base, idp)
	}
	e := got.RevokedCertificateEntries[0]
	if len(e.Extensions) != 2 || e.ReasonCode != list.RemoveFromCRL {
		t.Fatalf("%+v", e)
	}
	var since time.Time
	if _, err := asn1.UnmarshalWithParams(e.Extensions[1].Value, &since, "generalized"); err != nil || !since.Equal(noon.Add(-time.Hour)) {
		t.Errorf("invalid since %s, %v", since, err)
	}
}

func TestSerialsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for _, serial := range [][]byte{nil, {0}, make([]byte, list.MaxSerial+1)} {
		if len(serial) > list.MaxSerial {
			serial[0] = 1
		}
		if _, err := (list.Entries{}).With([]list.Change{{Entry: list.Entry{Serial: serial, RevokedAt: noon}}}); err == nil {
			t.Errorf("%x was taken", serial)
		}
		if err := new(list.Builder).Add(list.Entry{Serial: serial, RevokedAt: noon}); err == nil {
			t.Errorf("%x was built", serial)
		}
	}
}

// BenchmarkRebuild is the price of one more revocation on a list of 100,000.
func BenchmarkRebuild(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	issuer := ca(b, key)
	var built list.Builder
	std := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: noon, NextUpdate: noon.Add(time.Hour)}
	for i := range 100_000 {
		serial := make([]byte, 16)
		_, _ = rand.Read(serial)
		serial[0] = 0x40 | serial[0]&0x3f
		if err := built.Add(list.Entry{Serial: serial, RevokedAt: noon, Reason: i % 6}); err != nil {
			b.Fatal(err)
		}
		std.RevokedCertificateEntries = append(std.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: new(big.Int).SetBytes(serial), RevocationTime: noon, ReasonCode: i % 6})
	}
	entries := built.Entries()
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			next, err := entries.With([]list.Change{{Entry: list.Entry{Serial: []byte{0x50, 1}, RevokedAt: noon}}})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := (list.List{Number: 2, ThisUpdate: noon, NextUpdate: noon.Add(time.Hour), Entries: next}).Sign(issuer, key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("x509", func(b *testing.B) {
		for b.Loop() {
			if _, err := x509.CreateRevocationList(rand.Reader, std, issuer, key); err != nil {
				b.Fatal(err)
			}
		}
	})
}
