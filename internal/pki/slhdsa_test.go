package pki_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/pki/signature"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/keystore/slhdsa"
)

// hashed makes the key of a spec one of SLH-DSA, of the set that signs fast.
func hashed(s *authority.Spec) {
	s.Key = keystore.Spec{Type: keystore.AKP, Algorithm: "SLH-DSA-SHA2-128f"}
}

// slowRoot makes a root with a key of SLH-DSA.
func (w *world) slowRoot(id string) *x509.Certificate {
	w.t.Helper()
	if _, err := w.authorities.Create(w.t.Context(), somebody, spec(id, 2, hashed)); err != nil {
		w.t.Fatal(err)
	}
	root, err := signature.ParseCertificate(w.certificate(id).Raw)
	if err != nil {
		w.t.Fatal(err)
	}
	return root
}

func TestARootWithSLHDSAHasAnIntermediateThatIssues(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db, from("below"), func(w *world) { w.status = "http://pki.test.example" })
		root := w.slowRoot("hashes")
		w.restart() // the key is in the database
		w.below("hashes", spec("below", 0))

		made, err := w.issueBy("below", profile.Names{DNS: []string{"a.example.com"}})

		if err != nil || len(made.Chain) != 2 {
			t.Fatalf("%d certificates above, %v", len(made.Chain), err)
		}
		key, ok := root.PublicKey.(*slhdsa.PublicKey)
		if !ok || key.Name() != "SLH-DSA-SHA2-128f" || !root.IsCA || !bytes.Equal(root.AuthorityKeyId, root.SubjectKeyId) {
			t.Fatalf("root: %+v", root)
		}
		if err := signature.CheckFrom(root, root); err != nil {
			t.Errorf("the root by itself: %v", err)
		}
		below := w.certificate("below")
		if err := signature.CheckFrom(below, root); err != nil {
			t.Errorf("the intermediate by its root: %v", err)
		}
		if !bytes.Equal(below.AuthorityKeyId, root.SubjectKeyId) || !bytes.Equal(below.RawIssuer, root.RawSubject) || !bytes.Equal(made.Chain[1], root.Raw) {
			t.Error("the chain does not lead to the root")
		}
		if err := verify(t, made.DER, below); err != nil { // crypto/x509 stops there
			t.Error(err)
		}

		if err := w.revocation.RebuildDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{Authority: "hashes", Serial: issuance.FormatSerial(below.SerialNumber), Reason: "cessationOfOperation"}); err != nil {
			t.Fatal(err)
		}
		if list := w.crl("hashes"); len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].SerialNumber.Cmp(below.SerialNumber) != 0 {
			t.Errorf("%+v", list.RevokedCertificateEntries)
		}
		if list := w.list("hashes", revocation.Delta); len(list.RevokedCertificateEntries) != 1 {
			t.Errorf("%+v", list.RevokedCertificateEntries)
		}
	})
}

func TestAKeyThatTakesLongToSignIsForRootsAlone(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t), from("hashes"))
	for why, make := range map[string]func() error{
		"an intermediate": func() error {
			_, err := w.authorities.CreateIntermediate(t.Context(), somebody, "root", spec("slow", 0, hashed))
			return err
		},
		"one for somebody else to certify": func() error {
			s := pending("slow")
			hashed(&s)
			_, err := w.authorities.CreatePending(t.Context(), somebody, s)
			return err
		},
		"a successor of an intermediate": func() error {
			s := authority.Spec{ID: "slow", CommonName: "Slow"}
			hashed(&s)
			_, err := w.authorities.Succeed(t.Context(), somebody, "issuing", s)
			return err
		},
	} {
		if err := make(); !fault.HasCode(err, "KeyNotAllowed") || !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "make a root with it") {
			t.Errorf("%s: %v", why, err)
		}
	}
	w.slowRoot("hashes")

	_, err := w.issueBy("hashes", profile.Names{DNS: []string{"a.example.com"}})

	mustFail(t, err, "RootSignsAuthorities")
	if _, err := w.authorities.Request(t.Context(), somebody, "hashes"); !fault.HasCode(err, "KeyNotAllowed") {
		t.Errorf("a CSR of a root with SLH-DSA: %v", err)
	}
}

// The classical root vouches for the one that follows it, and its successor for it: clients
// of either time find their way.
func TestARootRollsOverToSLHDSAAndIsCrossSigned(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	classical := w.certificate("root")
	s := authority.Spec{ID: "root-2", CommonName: "Root 2"}
	hashed(&s)
	if _, err := w.authorities.Succeed(t.Context(), somebody, "root", s); err != nil {
		t.Fatal(err)
	}
	if _, err := w.authorities.CrossSign(t.Context(), somebody, "root-2", "root", 0, authority.Limits{}); err != nil {
		t.Fatal(err)
	}
	next, err := w.authorities.Succeed(t.Context(), somebody, "root-2", authority.Spec{ID: "root-3", CommonName: "Root 3"})
	if err != nil {
		t.Fatal(err)
	}

	ways, err := w.authorities.Alternates(t.Context(), "root-2")
	if err != nil || len(ways) != 1 || len(ways[0]) != 2 {
		t.Fatalf("%d ways, %v", len(ways), err)
	}
	bridge, err := signature.ParseCertificate(ways[0][0])
	if err != nil {
		t.Fatal(err)
	}
	key, ok := bridge.PublicKey.(*slhdsa.PublicKey)
	if err := bridge.CheckSignatureFrom(classical); err != nil || !ok || bridge.SignatureAlgorithm != classical.SignatureAlgorithm {
		t.Errorf("%T, %v", bridge.PublicKey, err)
	}
	third, err := signature.ParseCertificate(next.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := third.PublicKey.(*slhdsa.PublicKey); !ok || k.Equal(key) {
		t.Errorf("the successor has no key of the same kind: %T", third.PublicKey)
	}
	if _, err := w.authorities.CrossSign(t.Context(), somebody, "root", "root-2", 0, authority.Limits{}); !fault.HasCode(err, "AuthorityEnded") {
		t.Errorf("a superseded root signs: %v", err)
	}
}

// An offline root with SLH-DSA certifies the authority that a server has.
func TestAnAuthorityIsImportedBelowARootWithSLHDSA(t *testing.T) {
	elsewhere := newWorld(t, storagetest.SQLite(t))
	root := elsewhere.slowRoot("hashes")
	w := newWorld(t, storagetest.SQLite(t), from("outside"))
	if _, err := w.authorities.CreatePending(t.Context(), somebody, pending("outside")); err != nil {
		t.Fatal(err)
	}
	csr, err := w.authorities.Request(t.Context(), somebody, "outside")
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := elsewhere.authorities.Issuer(t.Context(), "hashes")
	if err != nil {
		t.Fatal(err)
	}
	sign := func(change func(*x509.Certificate)) []byte { return signedBy(t, issuer, csr, change) }
	good := sign(func(*x509.Certificate) {})
	altered := bytes.Clone(good)
	altered[len(altered)-1] ^= 1
	for why, text := range map[string][]byte{
		"an altered signature": pemText(altered, root.Raw),
		"another root":         pemText(good, elsewhere.slowRoot("others").Raw),
		"no root":              pemText(good),
		"expired":              pemText(sign(func(c *x509.Certificate) { c.NotAfter = noon.AddDate(0, -2, 0) }), root.Raw),
		"no authority":         pemText(sign(func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false }), root.Raw),
	} {
		if _, err := w.authorities.Import(t.Context(), somebody, "outside", text); !fault.HasCode(err, "BadChain") {
			t.Errorf("%s: %v", why, err)
		}
	}

	if _, err := w.authorities.Import(t.Context(), somebody, "outside", pemText(root.Raw, good)); err != nil {
		t.Fatal(err)
	}

	made, err := w.issueBy("outside", profile.Names{DNS: []string{"a.example.com"}})
	if err != nil || len(made.Chain) != 2 || !bytes.Equal(made.Chain[1], root.Raw) {
		t.Fatalf("%d certificates above, %v", len(made.Chain), err)
	}
}

// signedBy is a certificate for a CSR, as change has it, that an authority of ours signs
// without looking.
func signedBy(t *testing.T, issuer issuance.Issuer, csr []byte, change func(*x509.Certificate)) []byte {
	t.Helper()
	r, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(99), RawSubject: r.RawSubject, NotBefore: noon.AddDate(0, -3, 0), NotAfter: noon.AddDate(0, 6, 0), SubjectKeyId: []byte("a key id"),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, MaxPathLenZero: true,
	}
	change(c)
	tbs, scheme, err := signature.Draft(c, issuer.Certificate, issuer.Signer.Public(), r.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := scheme.Sign(issuer.Signer, tbs)
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}{asn1.RawValue{FullBytes: tbs}, asn1.RawValue{FullBytes: scheme.Algorithm}, asn1.BitString{Bytes: signed, BitLength: 8 * len(signed)}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}
