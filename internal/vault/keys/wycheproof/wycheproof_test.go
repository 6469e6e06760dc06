// Package wycheproof_test holds the algorithms of keys against the vectors of project
// Wycheproof, which collect what implementations got wrong. It is a package of its own
// because the vectors weigh a hundred megabytes.
package wycheproof_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
)

// file is the part of a vector file that we read.
type file struct {
	Groups []group `json:"testGroups"`
}

type group struct {
	Private hexBytes `json:"privateKeyPkcs8"`
	Public  hexBytes `json:"publicKeyDer"`
	Tests   []vector `json:"tests"`
}

type vector struct {
	ID         int      `json:"tcId"`
	Comment    string   `json:"comment"`
	Message    hexBytes `json:"msg"`
	Signature  hexBytes `json:"sig"`
	Ciphertext hexBytes `json:"ct"`
	Label      hexBytes `json:"label"`
	Result     string   `json:"result"` // valid, invalid, acceptable
}

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func TestSignatures(t *testing.T) {
	for _, c := range []struct {
		algorithm string
		files     []string
	}{
		{"RS256", []string{"rsa_signature_2048_sha256", "rsa_signature_3072_sha256", "rsa_signature_4096_sha256"}},
		{"RS384", []string{"rsa_signature_2048_sha384", "rsa_signature_3072_sha384", "rsa_signature_4096_sha384"}},
		{"RS512", []string{"rsa_signature_2048_sha512", "rsa_signature_3072_sha512", "rsa_signature_4096_sha512"}},
		{"PS256", []string{"rsa_pss_2048_sha256_mgf1_32", "rsa_pss_3072_sha256_mgf1_32", "rsa_pss_4096_sha256_mgf1_32"}},
		{"PS384", []string{"rsa_pss_2048_sha384_mgf1_48", "rsa_pss_4096_sha384_mgf1_48"}},
		{"PS512", []string{"rsa_pss_4096_sha512_mgf1_64"}},
		{"ES256", []string{"ecdsa_secp256r1_sha256_p1363"}},
		{"ES384", []string{"ecdsa_secp384r1_sha384_p1363"}},
		{"ES512", []string{"ecdsa_secp521r1_sha512_p1363"}},
	} {
		for _, name := range c.files {
			t.Run(c.algorithm+"/"+name, func(t *testing.T) {
				// What Wycheproof calls acceptable is a PKCS #1 signature without the
				// NULL of its algorithm identifier. We refuse it.
				verifyAll(t, c.algorithm, name, func(v vector) bool { return v.Result == "valid" })
			})
		}
	}
}

// A salt of another length is a valid RSASSA-PSS signature, and not one of PS256 or PS512.
func TestSignaturesWithAnotherSaltLengthAreRefused(t *testing.T) {
	for _, c := range []struct{ algorithm, name, right string }{
		{"PS256", "rsa_pss_2048_sha256_mgf1_0", "s_len changed to 32"},
		{"PS512", "rsa_pss_4096_sha512_mgf1_32", "s_len changed to 64"},
	} {
		verifyAll(t, c.algorithm, c.name, func(v vector) bool { return v.Comment == c.right })
	}
}

func verifyAll(t *testing.T, algorithm, name string, want func(vector) bool) {
	t.Helper()
	for _, g := range load(t, name) {
		pub, err := x509.ParsePKIXPublicKey(g.Public)
		if err != nil {
			t.Fatal(err)
		}
		spec, err := keystore.SpecOf(pub)
		if err != nil {
			t.Fatal(err)
		}
		a, err := keys.FindAlgorithm(algorithm, keys.Verify, spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range g.Tests {
			h := a.Hash.New()
			h.Write(v.Message)
			got, err := a.Verify(pub, h.Sum(nil), v.Signature)
			if err != nil || got != want(v) {
				t.Errorf("%s: vector %d, %s (%s): verified %v, %v", name, v.ID, v.Comment, v.Result, got, err)
			}
		}
	}
}

func TestDecryption(t *testing.T) {
	for _, c := range []struct {
		algorithm string
		files     []string
	}{
		{"RSA1_5", []string{"rsa_pkcs1_2048", "rsa_pkcs1_3072", "rsa_pkcs1_4096"}},
		{"RSA-OAEP", []string{"rsa_oaep_2048_sha1_mgf1sha1"}},
		{"RSA-OAEP-256", []string{"rsa_oaep_2048_sha256_mgf1sha256", "rsa_oaep_3072_sha256_mgf1sha256", "rsa_oaep_4096_sha256_mgf1sha256"}},
	} {
		for _, name := range c.files {
			t.Run(c.algorithm+"/"+name, func(t *testing.T) { decryptAll(t, c.algorithm, name) })
		}
	}
}

func decryptAll(t *testing.T, algorithm, name string) {
	t.Helper()
	refusals := map[string]int{}
	for _, g := range load(t, name) {
		key, spec := importKey(t, g.Private)
		a, err := keys.FindAlgorithm(algorithm, keys.Decrypt, spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range g.Tests {
			got, err := a.Decrypt(key, v.Ciphertext)
			if v.Result == "valid" && len(v.Label) == 0 { // we use no label
				if err != nil || !bytes.Equal(got, v.Message) {
					t.Errorf("%s: vector %d, %s: decrypted %x, %v", name, v.ID, v.Comment, got, err)
				}
				continue
			}
			if !fault.Is(err, fault.Invalid) || got != nil {
				t.Errorf("%s: vector %d, %s (%s): decrypted %x, %v", name, v.ID, v.Comment, v.Result, got, err)
				continue
			}
			refusals[err.Error()]++
		}
	}
	if len(refusals) != 1 {
		t.Errorf("%s: what is wrong with a ciphertext can be told from the answers: %v", name, refusals)
	}
}

func importKey(t *testing.T, pkcs8 []byte) (keystore.Private, keystore.Spec) {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		t.Fatal(err)
	}
	s := keystore.NewSoftware()
	m, pub, err := s.Import(t.Context(), key.(crypto.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := keystore.SpecOf(pub)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Open(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return p, spec
}

func load(t *testing.T, name string) []group {
	t.Helper()
	data, err := fs.ReadFile(wycheproof.TestVectors, name+"_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range f.Groups {
		n += len(g.Tests)
	}
	if n < 20 {
		t.Fatalf("%s has %d vectors; it was read wrongly", name, n)
	}
	return f.Groups
}
