package keystore_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/mldsa"
	"crypto/rand"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/keystore/slhdsa"
)

func TestKeysOfAuthoritiesAreMadeByTheirName(t *testing.T) {
	s := keystore.NewSoftware()
	for _, name := range append(keystore.AuthorityNames(false), "SLH-DSA-SHA2-128f", "SLH-DSA-SHA2-128s") {
		spec, err := keystore.AuthoritySpec(name)
		if err != nil || spec.String() != name {
			t.Fatalf("%s: %v, %v", name, spec, err)
		}
		m, pub, err := s.Generate(t.Context(), spec)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		k, err := keystore.OpenSigner(t.Context(), s, m)
		if err != nil || !k.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(pub) {
			t.Errorf("%s: opened another key: %v", name, err)
		}
		switch pub := pub.(type) {
		case ed25519.PublicKey:
			if sig, err := k.Sign(rand.Reader, []byte("hello"), crypto.Hash(0)); err != nil || !ed25519.Verify(pub, []byte("hello"), sig) {
				t.Errorf("%s: %v", name, err)
			}
		case *mldsa.PublicKey:
			if sig, err := k.Sign(rand.Reader, []byte("hello"), crypto.Hash(0)); err != nil || mldsa.Verify(pub, []byte("hello"), sig, nil) != nil {
				t.Errorf("%s: %v", name, err)
			}
		case *slhdsa.PublicKey:
			if sig, err := k.Sign(rand.Reader, []byte("hello"), crypto.Hash(0)); err != nil || !pub.Verify([]byte("hello"), sig) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, name := range []string{"", "P-256K", "P-224", "RSA", "RSA 1024", "RSA x", "ed25519", "ML-DSA-1", "SLH-DSA-SHA2-256f", "SLH-DSA", "oct 256"} {
		if _, err := keystore.AuthoritySpec(name); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestEveryNameOfAnAuthoritysKeyIsUnderstood(t *testing.T) {
	roots := 0
	for _, name := range keystore.AuthorityNames(true) {
		spec, err := keystore.AuthoritySpec(name)
		if err != nil || spec.String() != name {
			t.Errorf("%s: %v, %v", name, spec, err)
		}
		if spec.RootOnly() {
			roots++
		}
	}
	if roots != len(slhdsa.Names()) || len(keystore.AuthorityNames(true))-len(keystore.AuthorityNames(false)) != roots {
		t.Errorf("%d keys are for roots alone", roots)
	}
}

// The vault's API has no such keys, and does not get them by the back door.
func TestAKeyOfAnAuthorityAloneIsNoneOfTheVault(t *testing.T) {
	for _, name := range []string{"Ed25519", "SLH-DSA-SHA2-128s"} {
		spec, err := keystore.AuthoritySpec(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := spec.Check(); !fault.Is(err, fault.Invalid) {
			t.Errorf("the vault takes a key %s: %v", name, err)
		}
		if err := spec.CheckX509(); !fault.Is(err, fault.Invalid) {
			t.Errorf("a lineage takes a key %s: %v", name, err)
		}
	}
	key, err := slhdsa.Generate("SLH-DSA-SHA2-128f")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := keystore.NewSoftware().Import(t.Context(), key); !fault.Is(err, fault.Invalid) {
		t.Errorf("the vault imports a key of SLH-DSA: %v", err)
	}
}
