package externalmu_test

import (
	"bytes"
	"crypto"
	"crypto/mldsa"
	"crypto/rand"
	"crypto/sha3"
	"testing"

	"chatelaine.dev/internal/vault/algorithm/externalmu"
)

func sets() []mldsa.Parameters {
	return []mldsa.Parameters{mldsa.MLDSA44(), mldsa.MLDSA65(), mldsa.MLDSA87()}
}

// represent makes the μ of a message (FIPS 204 Algorithm 3 line 5 and Algorithm 8 lines 6 and 7).
func represent(pub *mldsa.PublicKey, message, context []byte) []byte {
	h := sha3.NewSHAKE256()
	_, _ = h.Write(pub.Bytes())
	tr := make([]byte, 64)
	_, _ = h.Read(tr)
	h.Reset()
	for _, part := range [][]byte{tr, {0, byte(len(context))}, context, message} {
		_, _ = h.Write(part)
	}
	mu := make([]byte, externalmu.Size)
	_, _ = h.Read(mu)
	return mu
}

func TestSignaturesOfAMessageAndOfItsRepresentativeAreTheSame(t *testing.T) {
	for _, set := range sets() {
		key, err := mldsa.GenerateKey(set)
		if err != nil {
			t.Fatal(err)
		}
		other, err := mldsa.GenerateKey(set)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			message, context := make([]byte, 10*i), make([]byte, i*12)
			_, _ = rand.Read(message)
			mu := represent(key.PublicKey(), message, context)
			ofMessage, err := key.Sign(nil, message, &mldsa.Options{Context: string(context)})
			if err != nil {
				t.Fatal(err)
			}
			ofMu, err := key.Sign(nil, mu, crypto.MLDSAMu)
			if err != nil {
				t.Fatal(err)
			}

			if !externalmu.Verify(key.PublicKey(), mu, ofMessage) || !externalmu.Verify(key.PublicKey(), mu, ofMu) {
				t.Fatalf("%s: a good signature is refused", set)
			}
			if err := mldsa.Verify(key.PublicKey(), message, ofMu, &mldsa.Options{Context: string(context)}); err != nil {
				t.Fatalf("%s: the standard library refuses it: %v", set, err)
			}
			if externalmu.Verify(other.PublicKey(), mu, ofMu) || externalmu.Verify(key.PublicKey(), represent(other.PublicKey(), message, context), ofMu) {
				t.Errorf("%s: accepted for another key or message", set)
			}
			for _, bad := range [][]byte{nil, ofMu[1:], append(bytes.Clone(ofMu), 0), make([]byte, len(ofMu)), bytes.Repeat([]byte{255}, len(ofMu))} {
				if externalmu.Verify(key.PublicKey(), mu, bad) {
					t.Errorf("%s: %d bytes that are no signature are accepted", set, len(bad))
				}
			}
		}
	}
}

func TestWhateverIsChangedTheStandardLibraryAgrees(t *testing.T) {
	for _, set := range sets() {
		key, err := mldsa.GenerateKey(set)
		if err != nil {
			t.Fatal(err)
		}
		mu := represent(key.PublicKey(), []byte("message"), nil)
		sig, err := key.Sign(nil, []byte("message"), crypto.Hash(0))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 200 {
			bad := bytes.Clone(sig)
			at := i * len(sig) / 200
			if i%2 == 1 {
				at = len(sig) - 1 - i/2 // the hint is at the end
			}
			bad[at] ^= 1 << (i % 8)

			want := mldsa.Verify(key.PublicKey(), []byte("message"), bad, nil) == nil
			if got := externalmu.Verify(key.PublicKey(), mu, bad); got != want {
				t.Errorf("%s: byte %d changed: %v, the standard library says %v", set, at, got, want)
			}
		}
	}
}

func FuzzVerify(f *testing.F) {
	key, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), make([]byte, mldsa.PrivateKeySize))
	if err != nil {
		f.Fatal(err)
	}
	mu := represent(key.PublicKey(), []byte("message"), nil)
	sig, err := key.SignDeterministic([]byte("message"), crypto.Hash(0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sig)
	f.Add(sig[:100])
	f.Add(make([]byte, len(sig)))
	f.Fuzz(func(t *testing.T, sig []byte) {
		want := mldsa.Verify(key.PublicKey(), []byte("message"), sig, nil) == nil
		if got := externalmu.Verify(key.PublicKey(), mu, sig); got != want {
			t.Errorf("%v, the standard library says %v", got, want)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, set := range sets() {
		key, err := mldsa.GenerateKey(set)
		if err != nil {
			b.Fatal(err)
		}
		mu := represent(key.PublicKey(), nil, nil)
		sig, err := key.Sign(nil, mu, crypto.MLDSAMu)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(set.String(), func(b *testing.B) {
			for b.Loop() {
				externalmu.Verify(key.PublicKey(), mu, sig)
			}
		})
	}
}
