package pki_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"os"
	"strconv"
	"testing"

	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/storage/storagetest"
)

// agreed agrees to everything.
type agreed struct{}

func (agreed) Approved(context.Context, issuance.Approval) error { return nil }

// keyOf makes a key of a type that profiles name.
func keyOf(t testing.TB, kind string) crypto.Signer {
	t.Helper()
	var k crypto.Signer
	var err error
	switch kind {
	case "P-256":
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "P-384":
		k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "P-521":
		k, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "Ed25519":
		_, k, err = ed25519.GenerateKey(rand.Reader)
	case "ML-DSA-44":
		k, err = mldsa.GenerateKey(mldsa.MLDSA44())
	case "ML-DSA-65":
		k, err = mldsa.GenerateKey(mldsa.MLDSA65())
	case "ML-DSA-87":
		k, err = mldsa.GenerateKey(mldsa.MLDSA87())
	default:
		var bits int
		if _, err := fmt.Sscanf(kind, "RSA %d", &bits); err != nil {
			t.Fatalf("no key of type %q", kind)
		}
		k, err = rsa.GenerateKey(rand.Reader, bits)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// askOf is a request that a profile takes, with every kind of name that it allows.
func askOf(p profile.Profile, n int) issuance.Request {
	r := issuance.Request{ID: fmt.Sprintf("batch-%s-%d", p.Name, n), Profile: p.Name, Subject: profile.Subject{"serialNumber": {fmt.Sprintf("SN-%06d", n)}, "O": {"Not asked for"}}}
	host := fmt.Sprintf("h%d.test.example.com", n)
	if len(p.Names.Allowed) > 0 {
		host = fmt.Sprintf("h%d.default.svc", n)
	}
	if p.Names.CommonName == profile.CommonNameFree && n%2 == 0 {
		r.CommonName = fmt.Sprintf("Batch %d", n)
	}
	if p.Names.DNS {
		r.Names.DNS = append(r.Names.DNS, host)
		if p.Names.Wildcard && n%3 == 0 {
			r.Names.DNS = append(r.Names.DNS, "*."+host)
		}
	}
	if p.Names.IP && n%4 == 1 && p.Name != "tls-server-public" {
		r.Names.IP = []string{fmt.Sprintf("10.0.%d.%d", n/256%256, n%256)}
	}
	if p.Names.Email && (!p.Names.DNS || n%5 == 0) {
		r.Names.Email = []string{fmt.Sprintf("user%d@example.com", n)}
	}
	if p.Names.URI && n%5 == 1 {
		r.Names.URI = []string{"spiffe://" + host + "/service"}
	}
	return r
}

// batchSize is how many certificates are made: CHATELAINE_BATCH, which make proof sets,
// or few.
func batchSize(t testing.TB) int {
	t.Helper()
	text := os.Getenv("CHATELAINE_BATCH")
	if text == "" {
		return 200
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Every profile that comes with the product, with every key that it certifies and every
// kind of name that it takes, makes certificates that break no rule which it claims.
func TestABatchOverAllProfilesLintsClean(t *testing.T) {
	t.Parallel()
	w := newWorld(t, storagetest.SQLite(t), func(w *world) { w.status, w.agree = "http://pki.test.example.com", agreed{} })
	set, err := profile.BuiltIn()
	profiles := set.All()
	if err != nil || len(profiles) < 10 {
		t.Fatalf("%d profiles, %v", len(profiles), err)
	}
	keys := map[string]crypto.Signer{} // one of each type: keys cost more than certificates
	made := 0
	for n, all := 0, batchSize(t); made < all; n++ {
		for _, p := range profiles {
			kind := p.Keys[n%len(p.Keys)]
			if keys[kind] == nil {
				keys[kind] = keyOf(t, kind)
			}
			r := askOf(p, n)
			r.PublicKey = keys[kind].Public()
			x, err := w.issuance.Issue(t.Context(), somebody, r)
			if err != nil {
				t.Fatalf("%s with %s: %v", p.Name, kind, err)
			}
			for _, o := range parse(t, x.DER).Subject.Organization {
				t.Errorf("%s: organization %q, which nobody allows", p.Name, o)
			}
			made++
		}
	}
	t.Logf("%d certificates", made)
}
