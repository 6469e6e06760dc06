package pki_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"testing"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/keystore"
)

const year = 365 * 24 * time.Hour

// spec is an authority below the defaults.
func spec(id string, length int, change ...func(*authority.Spec)) authority.Spec {
	s := authority.Spec{ID: id, CommonName: "The " + id + " CA", Key: keystore.Spec{Type: keystore.EC, Curve: "P-256"}, Validity: year}
	s.PathLength = &length
	for _, f := range change {
		f(&s)
	}
	return s
}

// pending is one that somebody else certifies.
func pending(id string) authority.Spec {
	s := spec(id, 0)
	s.Validity, s.PathLength = 0, nil
	return s
}

func (w *world) below(parent string, s authority.Spec) authority.Authority {
	w.t.Helper()
	a, err := w.authorities.CreateIntermediate(w.t.Context(), somebody, parent, s)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// from adds a profile that an authority issues, named after it.
func from(id string) func(*world) {
	return func(w *world) {
		set, err := profile.BuiltIn()
		if err != nil {
			w.t.Fatal(err)
		}
		p, err := set.Get("tls-server")
		if err != nil {
			w.t.Fatal(err)
		}
		p.Name, p.Authorities = id, []string{id}
		w.extra = append(w.extra, p)
	}
}

func (w *world) issueBy(id string, names profile.Names) (issuance.Result, error) {
	return w.issuance.Issue(w.t.Context(), somebody, issuance.Request{Profile: id, PublicKey: &newKey(w.t).PublicKey, Names: names})
}

// verify is what a client does that trusts one certificate.
func verify(t *testing.T, made []byte, root *x509.Certificate, others ...[]byte) error {
	t.Helper()
	roots, pool := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for _, der := range others {
		pool.AddCert(parse(t, der))
	}
	_, err := parse(t, made).Verify(x509.VerifyOptions{Roots: roots, Intermediates: pool, CurrentTime: noon, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

func TestAuthoritiesGoAsDeepAsThePathLengthsSay(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db, from("third"))
		w.below("root", spec("first", 2))
		w.below("first", spec("second", 1))

		_, err := w.authorities.CreateIntermediate(t.Context(), somebody, "second", spec("third", 1))
		mustFail(t, err, "PathTooLong")
		w.below("second", spec("third", 0))
		_, err = w.authorities.CreateIntermediate(t.Context(), somebody, "third", spec("fourth", 0))
		mustFail(t, err, "PathTooLong")

		made, err := w.issueBy("third", profile.Names{DNS: []string{"a.example.com"}})
		if err != nil || len(made.Chain) != 4 {
			t.Fatalf("%d certificates above, %v", len(made.Chain), err)
		}
		if err := verify(t, made.DER, w.certificate("root"), made.Chain...); err != nil {
			t.Error(err)
		}
	})
}

func TestNothingIsIssuedOutsideTheConstraintsOfAnyAuthorityAbove(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t), from("sub"))
	w.below("root", spec("top", 1, func(s *authority.Spec) {
		s.Permitted = profile.Names{DNS: []string{"example.com"}, IP: []string{"10.0.0.0/8"}}
		s.Excluded = profile.Names{DNS: []string{"secret.example.com"}}
	}))
	w.below("top", spec("sub", 0, func(s *authority.Spec) { s.Excluded = profile.Names{IP: []string{"10.9.0.0/16"}} }))

	made, err := w.issueBy("sub", profile.Names{DNS: []string{"a.example.com", "example.com"}, IP: []string{"10.1.2.3"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(t, made.DER, w.certificate("root"), made.Chain...); err != nil {
		t.Error(err)
	}
	for _, c := range made.Chain[:2] {
		for _, e := range parse(t, c).Extensions {
			if e.Id.String() == "2.5.29.30" && !e.Critical {
				t.Error("name constraints that are not critical")
			}
		}
	}
	before, _, err := w.issuance.List(t.Context(), somebody, issuance.Filter{Authority: "sub"}, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []profile.Names{
		{DNS: []string{"a.example.org"}}, {DNS: []string{"notexample.com"}}, {DNS: []string{"a.example.com", "b.example.org"}},
		{DNS: []string{"secret.example.com"}}, {DNS: []string{"a.secret.example.com"}}, {DNS: []string{"*.example.com"}},
		{IP: []string{"192.0.2.1"}}, {IP: []string{"10.9.1.1"}}, {IP: []string{"2001:db8::1"}},
	} {
		_, err := w.issueBy("sub", n)
		mustFail(t, err, "OutsideConstraints")
	}
	after, _, err := w.issuance.List(t.Context(), somebody, issuance.Filter{Authority: "sub"}, "", 0)
	if err != nil || len(after) != len(before) {
		t.Errorf("a refusal left %d serials, %v", len(after)-len(before), err)
	}
}

// outsider is a CA of somebody else.
type outsider struct {
	certificate *x509.Certificate
	sign        func(t *testing.T, csr []byte, change ...func(*x509.Certificate)) []byte
}

func newOutsider(t *testing.T, change ...func(*x509.Certificate)) outsider {
	t.Helper()
	return newOutsiderOf(t, newKey(t), change...)
}

// newOutsiderOf is one with a certain key.
func newOutsiderOf(t *testing.T, private crypto.PrivateKey, change ...func(*x509.Certificate)) outsider {
	t.Helper()
	key := private.(crypto.Signer)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Somebody else's root"}, NotBefore: noon.AddDate(-1, 0, 0), NotAfter: noon.AddDate(9, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte("somebody else's root"),
	}
	for _, f := range change {
		f(root)
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	o := outsider{certificate: parse(t, der)}
	o.sign = func(t *testing.T, csr []byte, change ...func(*x509.Certificate)) []byte {
		t.Helper()
		r, err := x509.ParseCertificateRequest(csr)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.CheckSignature(); err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(99), RawSubject: r.RawSubject, NotBefore: noon.AddDate(0, -1, 0), NotAfter: noon.AddDate(5, 0, 0),
			BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, MaxPathLenZero: true,
		}
		for _, f := range change {
			f(c)
		}
		der, err := x509.CreateCertificate(rand.Reader, c, o.certificate, r.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	return o
}

func pemText(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

func TestAnAuthorityCertifiedFromOutsideIssuesUnderTheOutsidersRoot(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db, from("outside"))
		other := newOutsider(t)
		a, err := w.authorities.CreatePending(t.Context(), somebody, pending("outside"))
		if err != nil || a.State != authority.Pending {
			t.Fatalf("%+v, %v", a, err)
		}
		if _, err := w.authorities.Create(t.Context(), somebody, spec("outside", 0)); !fault.HasCode(err, "AuthorityExists") {
			t.Errorf("the id of a pending authority was given away: %v", err)
		}
		if _, err := w.issueBy("outside", profile.Names{DNS: []string{"a.example.com"}}); err == nil {
			t.Error("a pending authority issued")
		}
		if err := w.revocation.RebuildDue(t.Context()); err != nil {
			t.Errorf("a pending authority disturbs the CRLs: %v", err)
		}
		w.restart() // the key is in the database
		csr, err := w.authorities.Request(t.Context(), somebody, "outside")
		if err != nil {
			t.Fatal(err)
		}
		good := other.sign(t, csr)

		if a, err = w.authorities.Import(t.Context(), somebody, "outside", pemText(other.certificate.Raw, good)); err != nil {
			t.Fatal(err)
		}

		if a.State != authority.Active || a.Parent != "" || !bytes.Equal(a.Above, other.certificate.Raw) {
			t.Errorf("%+v", a)
		}
		made, err := w.issueBy("outside", profile.Names{DNS: []string{"a.example.com"}})
		if err != nil || len(made.Chain) != 2 {
			t.Fatalf("%d certificates above, %v", len(made.Chain), err)
		}
		if err := verify(t, made.DER, other.certificate, made.Chain...); err != nil {
			t.Error(err)
		}
		if err := w.revocation.RebuildDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.crl("outside")
		list, err := w.authorities.List(t.Context(), somebody, "issuing", 0)
		if err != nil || len(list) != 2 || list[0].ID != "outside" || list[0].State != authority.Active {
			t.Errorf("%d authorities behind issuing, want outside and root; %v", len(list), err)
		}
		if n := len(w.records("AuthorityImport", "/authorities/outside")); n != 1 {
			t.Errorf("%d records of the import", n)
		}
	})
}

func TestImportRefusesWhatNoVerifierWouldAccept(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	other := newOutsider(t)
	if _, err := w.authorities.CreatePending(t.Context(), somebody, pending("outside")); err != nil {
		t.Fatal(err)
	}
	csr, err := w.authorities.Request(t.Context(), somebody, "outside")
	if err != nil {
		t.Fatal(err)
	}
	good, root := other.sign(t, csr), other.certificate.Raw
	narrow := newOutsider(t, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	odd := pkix.Extension{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	for why, text := range map[string][]byte{
		"nothing":            nil,
		"no PEM":             []byte("hello"),
		"no root":            pemText(good),
		"another root":       pemText(good, newOutsider(t).certificate.Raw),
		"another key":        pemText(w.certificate("issuing").Raw, w.certificate("root").Raw),
		"no CA":              pemText(other.sign(t, csr, func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false }), root),
		"no signing of CRLs": pemText(other.sign(t, csr, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }), root),
		"expired":            pemText(other.sign(t, csr, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) }), root),
		"not valid yet":      pemText(other.sign(t, csr, func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Hour) }), root),
		"a path too long":    pemText(narrow.sign(t, csr), narrow.certificate.Raw),
		"an unknown limit":   pemText(other.sign(t, csr, func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{odd} }), root),
		"a key besides":      append(pemText(good, root), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}})...),
		"two for the key":    pemText(good, other.sign(t, csr, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(100) }), root),
		"too much":           bytes.Repeat([]byte("-"), 1<<20),
	} {
		_, err := w.authorities.Import(t.Context(), somebody, "outside", text)
		if !fault.HasCode(err, "BadChain") {
			t.Errorf("%s: %v", why, err)
		}
	}
	if a, err := w.authorities.Get(t.Context(), somebody, "outside"); err != nil || a.State != authority.Pending {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := w.authorities.Import(t.Context(), somebody, "outside", pemText(good, root)); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func TestACrossSignedAuthorityHasTwoWaysUp(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		if _, err := w.authorities.Create(t.Context(), somebody, spec("second", 3)); err != nil {
			t.Fatal(err)
		}
		made := w.issue(request(t, "a.example.com"))

		x, err := w.authorities.CrossSign(t.Context(), somebody, "issuing", "second", 0, authority.Limits{})
		if err != nil {
			t.Fatal(err)
		}

		ways, err := w.authorities.Alternates(t.Context(), "issuing")
		if err != nil || len(ways) != 1 || len(ways[0]) != 2 {
			t.Fatalf("%d ways, %v", len(ways), err)
		}
		if err := verify(t, made.DER, w.certificate("root"), made.Chain...); err != nil {
			t.Errorf("by the first way: %v", err)
		}
		if err := verify(t, made.DER, w.certificate("second"), ways[0]...); err != nil {
			t.Errorf("by the other way: %v", err)
		}
		own, cross := w.certificate("issuing"), parse(t, x.Certificate)
		if !bytes.Equal(own.RawSubject, cross.RawSubject) || !bytes.Equal(own.SubjectKeyId, cross.SubjectKeyId) || cross.MaxPathLen != 0 || own.Equal(cross) {
			t.Error("the cross certificate is not for the same name and key")
		}
		if c, err := w.issuance.Get(t.Context(), somebody, "second", x.Serial); err != nil || c.State != issuance.Issued {
			t.Errorf("it is not among the certificates of its issuer: %v", err)
		}
		for _, circle := range [][2]string{{"root", "issuing"}, {"issuing", "issuing"}} {
			_, err := w.authorities.CrossSign(t.Context(), somebody, circle[0], circle[1], 0, authority.Limits{})
			mustFail(t, err, "Circle")
		}
		// Revoked, it leads nowhere any more, and the authority stays what it is.
		if _, err := w.revocation.Revoke(t.Context(), somebody, revocation.Request{Authority: "second", Serial: x.Serial}); err != nil {
			t.Fatal(err)
		}
		if ways, err = w.authorities.Alternates(t.Context(), "issuing"); err != nil || len(ways) != 0 {
			t.Errorf("%d ways lead over a revoked certificate, %v", len(ways), err)
		}
		w.issue(request(t, "b.example.com"))
	})
}

func TestACrossCertificateRepeatsTheLimitsOfTheAuthority(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	if _, err := w.authorities.Create(t.Context(), somebody, spec("second", 3)); err != nil {
		t.Fatal(err)
	}
	w.below("root", spec("limited", 0, func(s *authority.Spec) {
		s.Permitted = profile.Names{DNS: []string{"example.com"}, IP: []string{"10.0.0.0/8"}, Email: []string{"example.com"}, URI: []string{".example.com"}}
		s.Excluded = profile.Names{DNS: []string{"secret.example.com"}}
	}))
	constraints := func(c *x509.Certificate) []byte {
		for _, e := range c.Extensions {
			if e.Id.String() == "2.5.29.30" {
				return e.Value
			}
		}
		return nil
	}

	x, err := w.authorities.CrossSign(t.Context(), somebody, "limited", "second", 0, authority.Limits{})
	if err != nil {
		t.Fatal(err)
	}

	own, cross := w.certificate("limited"), parse(t, x.Certificate)
	if c := constraints(cross); len(c) == 0 || !bytes.Equal(c, constraints(own)) || cross.MaxPathLen != 0 || !cross.MaxPathLenZero {
		t.Errorf("constraints %x, path length %d", c, cross.MaxPathLen)
	}
}

func TestAnOutsiderMayCrossSignToo(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	other, made := newOutsider(t), w.issue(request(t, "a.example.com"))
	csr, err := w.authorities.Request(t.Context(), somebody, "root")
	if err != nil {
		t.Fatal(err)
	}
	same := func(c *x509.Certificate) {
		c.SubjectKeyId, c.MaxPathLen, c.MaxPathLenZero = w.certificate("root").SubjectKeyId, 1, false
	}
	renamed := other.sign(t, csr, same, func(c *x509.Certificate) { c.RawSubject, c.Subject = nil, named("Another") })
	_, err = w.authorities.Import(t.Context(), somebody, "root", pemText(renamed, other.certificate.Raw))
	mustFail(t, err, "BadChain")

	if _, err := w.authorities.Import(t.Context(), somebody, "root", pemText(other.sign(t, csr, same), other.certificate.Raw)); err != nil {
		t.Fatal(err)
	}

	ways, err := w.authorities.Alternates(t.Context(), "root")
	if err != nil || len(ways) != 1 {
		t.Fatalf("%d ways, %v", len(ways), err)
	}
	if err := verify(t, made.DER, other.certificate, slices.Concat(made.Chain[:1], ways[0])...); err != nil {
		t.Error(err)
	}
}

func TestASuccessorIssuesWhileTheOldOneStillSignsItsCRLs(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		r := request(t, "a.example.com")
		r.ID = "before"
		old := w.issue(r)

		next, err := w.authorities.Succeed(t.Context(), somebody, "issuing", authority.Spec{
			ID: "issuing-2", CommonName: "Chatelaine Issuing CA 2", Key: keystore.Spec{Type: keystore.EC, Curve: "P-384"}, Validity: year,
		})
		if err != nil {
			t.Fatal(err)
		}

		made := w.issue(request(t, "b.example.com")) // the profile still says "issuing"
		if made.Authority != "issuing-2" || next.Parent != "root" {
			t.Errorf("issued by %s, below %s", made.Authority, next.Parent)
		}
		if a, err := w.authorities.Get(t.Context(), somebody, "issuing"); err != nil || a.State != authority.Superseded || a.Successor != "issuing-2" {
			t.Errorf("%+v, %v", a, err)
		}
		for _, c := range []issuance.Result{old, made} {
			if err := verify(t, c.DER, w.certificate("root"), c.Chain...); err != nil {
				t.Errorf("of %s: %v", c.Authority, err)
			}
		}
		if again := w.issue(r); again.Serial != old.Serial || !bytes.Equal(again.Chain[0], old.Chain[0]) {
			t.Error("a request from before the rollover was answered anew")
		}
		w.revoke(old.Certificate, "superseded")
		if !w.onCRL(old.Serial) {
			t.Error("the old authority signs no CRL any more")
		}
		_, err = w.authorities.Succeed(t.Context(), somebody, "issuing", authority.Spec{ID: "issuing-3", CommonName: "x", Key: spec("x", 0).Key, Validity: year})
		mustFail(t, err, "AuthoritySuperseded")
		if _, err := w.authorities.Enable(t.Context(), somebody, "issuing"); err != nil {
			t.Fatal(err)
		}
		if made := w.issue(request(t, "c.example.com")); made.Authority != "issuing" {
			t.Errorf("after the step back %s issues", made.Authority)
		}
	})
}

func TestADisabledAuthorityIssuesNothingUntilItIsEnabled(t *testing.T) {
	w := newWorld(t, storagetest.SQLite(t))
	made := w.issue(request(t, "a.example.com"))
	if _, err := w.authorities.Disable(t.Context(), somebody, "issuing"); err != nil {
		t.Fatal(err)
	}

	_, err := w.issuance.Issue(t.Context(), somebody, request(t, "b.example.com"))
	mustFail(t, err, "AuthorityEnded")

	w.revoke(made.Certificate, "keyCompromise")
	if !w.onCRL(made.Serial) {
		t.Error("a disabled authority signs no CRL")
	}
	if _, err := w.authorities.Enable(t.Context(), somebody, "issuing"); err != nil {
		t.Fatal(err)
	}
	w.issue(request(t, "b.example.com"))
}
