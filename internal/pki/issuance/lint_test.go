package issuance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"slices"
	"testing"
	"time"
)

func TestPrivateKeysThatAnybodyTriesFirstAreFound(t *testing.T) {
	t.Parallel()
	linter, err := NewLinter()
	if err != nil {
		t.Fatal(err)
	}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384()} {
		order := curve.Params().N
		for name, d := range map[string]*big.Int{
			"one": big.NewInt(1), "a small one": big.NewInt(40_961), "the last": big.NewInt(1 << 16),
			"minus a small one": new(big.Int).Sub(order, big.NewInt(3)), "another": nil,
		} {
			small := d != nil
			key, err := ecdsa.GenerateKey(curve, rand.Reader)
			if small {
				key, err = ecdsa.ParseRawPrivateKey(curve, d.FillBytes(make([]byte, (order.BitLen()+7)/8)))
			}
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now, NotAfter: now.Add(time.Hour)}
			der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			broken, err := linter.Find(der, nil)
			if err != nil {
				t.Fatal(err)
			}
			if found := slices.ContainsFunc(broken, func(b Broken) bool { return b.Rule == smallKeyLint }); found != small {
				t.Errorf("%s on %s: found %v, want %v", name, curve.Params().Name, found, small)
			}
		}
	}
}
