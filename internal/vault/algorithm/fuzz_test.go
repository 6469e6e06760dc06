package algorithm_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"math/big"
	"testing"

	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/keystore"
)

// A raw signature is accepted exactly when the standard library accepts the same two
// numbers in ASN.1.
func FuzzRawSignature(f *testing.F) {
	curve, _ := keystore.CurveNamed("P-256")
	d := make([]byte, 32)
	d[31] = 7
	key, err := curve.Private(d)
	if err != nil {
		f.Fatal(err)
	}
	public := key.Public().(*ecdsa.PublicKey)
	a, err := algorithm.Find("ES256", algorithm.Verify, ec("P-256"))
	if err != nil {
		f.Fatal(err)
	}
	digest := make([]byte, 32)
	k := algorithm.Key{Spec: ec("P-256"), Public: public, Open: func() (keystore.Private, error) { return key, nil }}
	good, err := a.Sign(k, algorithm.Input{Value: digest})
	if err != nil {
		f.Fatal(err)
	}
	order := elliptic.P256().Params().N.Bytes()
	f.Add(good)
	f.Add(good[:63])
	f.Add(append(good[:32:32], make([]byte, 32)...))
	f.Add(append(good[:32:32], order...))
	f.Add([]byte{})

	f.Fuzz(func(t *testing.T, sig []byte) {
		got, err := a.Verify(k, algorithm.Input{Value: digest}, sig)
		if err != nil {
			t.Fatal(err)
		}
		want := false
		if len(sig) == 64 {
			der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])})
			if err != nil {
				t.Fatal(err)
			}
			want = ecdsa.VerifyASN1(public, digest, der)
		}
		if got != want {
			t.Errorf("%x: verified %v, want %v", sig, got, want)
		}
	})
}

// What a symmetric key does not refuse comes back from it, whatever the mechanism.
func FuzzSymmetricDecryption(f *testing.F) {
	spec := oct(128)
	s := keystore.NewSoftware()
	m, _, err := s.Import(f.Context(), keystore.Secret(make([]byte, 16)))
	if err != nil {
		f.Fatal(err)
	}
	names := []string{"A128GCM", "A128CBC", "A128CBCPAD", "A128KW", "CKM_AES_KEY_WRAP_PAD"}
	for i := range names {
		f.Add(byte(i), make([]byte, 32), make([]byte, 16), make([]byte, 16))
		f.Add(byte(i), []byte{}, make([]byte, 12), []byte{})
	}

	f.Fuzz(func(t *testing.T, which byte, value, iv, tag []byte) {
		name := names[int(which)%len(names)]
		op := algorithm.Decrypt
		if name == "A128KW" || name == "CKM_AES_KEY_WRAP_PAD" {
			op, iv, tag = algorithm.UnwrapKey, nil, nil
		}
		a, err := algorithm.Find(name, op, spec)
		if err != nil {
			t.Fatal(err)
		}
		if name != "A128GCM" {
			tag = nil
		}
		k := algorithm.Key{Spec: spec, Open: func() (keystore.Private, error) { return s.Open(t.Context(), m) }}
		plain, err := a.Decrypt(k, algorithm.Input{Value: value, IV: iv, Tag: tag})
		if err != nil || name == "A128GCM" {
			return
		}
		again, err := a.Encrypt(k, algorithm.Input{Value: plain, IV: iv})
		if err != nil || string(again.Value) != string(value) {
			t.Errorf("%s: %x decrypts to %x, and that encrypts to %x, %v", name, value, plain, again.Value, err)
		}
	})
}
