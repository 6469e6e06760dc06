package scep_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/lifecycle/scep"
	"chatelaine.dev/internal/pki/cms"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/keystore"
)

// said is all that an answer tells: status, failInfo and text.
func (r *rig) said(t testing.TB, d draft, envelope []byte) string {
	t.Helper()
	raw, err := r.service.Operation(t.Context(), "tls-server", sign(t, d, envelope), access.Origin{Address: "192.0.2.1"})
	if err != nil {
		return err.Error()
	}
	a := r.read(t, "tls-server", d, raw)
	p7, err := pkcs7.Parse(raw)
	must(t, err)
	var text string
	_ = p7.UnmarshalSignedAttribute(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 24, 1}, &text)
	return a.status + " " + a.why + " " + text
}

// Messages go by plain HTTP, and their contents are in CBC without authentication: who is
// told whether an altered envelope decrypts can read what others sent, with the one-time
// password in it (Vaudenay 2002).
func TestAlteredEnvelopesOfOthersTellNothing(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	r := open(w)
	must(t, w.Revocation.RebuildDue(t.Context()))
	mine := r.enrolled(t, "tls-server", "d.example.test", keys()[0])
	registrar := func() *x509.Certificate {
		list, err := r.service.CACerts(t.Context(), "tls-server")
		must(t, err)
		c, err := x509.ParseCertificate(list[0])
		must(t, err)
		return c
	}()
	sealed := func(content []byte) []byte { return encrypt(t, content, registrar) }
	victim := csrWith(t, keys()[1], r.passcode(t, passcode.SCEP, "tls-server", "d.example.test"), "d.example.test")
	broken := bytes.Clone(victim)
	broken[len(broken)-1] ^= 1 // of its signature
	elsewhere := csrWith(t, keys()[1], "che_x", "e.example.test")
	elsewhere[len(elsewhere)-1] ^= 1
	// The padding is the content's last byte: altering the block before alters it alone.
	badPadding := sealed(victim)
	badPadding[len(badPadding)-17] ^= 0x40
	thief := selfSigned(t, time.Now(), keys()[2], "d.example.test")

	for _, c := range []struct {
		what string
		kind string
		by   identity
	}{
		{"a stranger enrols", "19", thief}, {"a stranger renews", "17", thief}, {"a stranger polls", "20", thief}, {"a stranger asks for a certificate", "21", thief},
		{"a stranger asks for the list", "22", thief}, {"a holder renews", "17", mine}, {"a holder asks for a certificate", "21", mine},
	} {
		answers := map[string]string{}
		for name, envelope := range map[string][]byte{
			"bad padding": badPadding, "no content": sealed(nil), "garbage": sealed([]byte("garbage")), "a structure": sealed([]byte{0x30, 2, 5, 0}),
			"two values": sealed([]byte{0x30, 4, 5, 0, 4, 0}), "another's CSR": sealed(victim), "another's CSR, altered": sealed(broken),
			"a CSR for another name, altered": sealed(elsewhere),
			"for another key":                 encrypt(t, victim, thief.certificate),
		} {
			if c.kind == "17" && name == "another's CSR" && c.by == mine {
				continue // that is what a holder may send
			}
			answers[r.said(t, draft{kind: c.kind, transaction: "t", by: c.by}, envelope)] = name
		}
		if len(answers) != 1 {
			t.Errorf("%s: answers differ: %v", c.what, answers)
		}
	}
}

// Neither a one-time password nor a certificate opens a door wider.
func TestNamesOutsideTheDoorAreRefused(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	r := open(w)
	mine := r.enrolled(t, "tls-server", "d.example.test", keys()[0])
	code := r.passcode(t, passcode.SCEP, "tls-server", "*")
	self := selfSigned(t, time.Now(), keys()[1], "d.example.test")
	r.doors.Names = []string{"*.other.test"}

	for why, d := range map[string]draft{
		"by password":    {kind: "19", transaction: "t", by: self, content: csrWith(t, keys()[1], code, "d.example.test")},
		"by certificate": {kind: "17", transaction: "t", by: mine, content: csrWith(t, keys()[1], "", "d.example.test")},
	} {
		if got := r.send(t, "tls-server", d); got.status != "2" {
			t.Errorf("%s: %+v", why, got)
		}
	}
	inside := draft{kind: "19", transaction: "t", by: self, content: csrWith(t, keys()[1], code, "d.other.test")}
	if got := r.send(t, "tls-server", inside); got.status != "0" {
		t.Errorf("a name inside: %+v", got)
	}
}

// frozen is an issuer that makes nothing, and counts.
type frozen struct{ asked int }

// Registrar implements scep.Issuer.
func (f *frozen) Registrar(context.Context, access.Caller, string, crypto.PublicKey) (issuance.Result, error) {
	f.asked++
	return issuance.Result{}, fault.New(fault.Unavailable, "Away", "the keystore is away")
}

func (r *rig) registrars(i scep.Issuer) *scep.Registrars {
	return scep.NewRegistrars(scep.RegistrarDeps{Store: r.Store, Issuer: i, Issued: pkidb.New(r.DB), Keystore: keystore.NewSoftware(), Now: r.Time})
}

// GetCACert is anybody's, and a key of 3072 bits is seconds of work.
func TestStrangersDoNotMakeUsTryOverAndOver(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	r := open(w)
	away := &frozen{}
	g := r.registrars(away)

	for range 3 {
		if _, err := g.For(t.Context(), "issuing"); !fault.HasCode(err, "Away") {
			t.Errorf("got %v", err)
		}
	}
	if away.asked != 1 {
		t.Errorf("%d attempts", away.asked)
	}
	w.Advance(time.Minute)
	_, _ = g.For(t.Context(), "issuing")
	if away.asked != 2 {
		t.Errorf("%d attempts after a minute, want 2", away.asked)
	}
}

func TestARegistrarThatCannotBeReplacedServesUntilItsEnd(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	r := open(w)
	first, err := r.registrars(w.Issuance).For(t.Context(), "issuing")
	must(t, err)
	w.Advance(310 * 24 * time.Hour)
	away := &frozen{}
	g := r.registrars(away)

	for range 2 {
		if got, err := g.For(t.Context(), "issuing"); err != nil || !got.Current.Certificate.Equal(first.Current.Certificate) {
			t.Errorf("got %v, %v", got.Current.Certificate, err)
		}
	}
	if away.asked != 1 {
		t.Errorf("%d attempts", away.asked)
	}
	w.Advance(60 * 24 * time.Hour)
	if _, err := g.For(t.Context(), "issuing"); err == nil {
		t.Error("it serves after its end")
	}
}

// A certificate never lasts longer than its authority: in the authority's last weeks there
// is none that would not be "near its end".
func TestTheLastRegistrarOfAnAuthorityIsMadeOnce(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	g := open(w).registrars(w.Issuance)
	r, err := g.For(t.Context(), "issuing")
	must(t, err)
	authority, err := x509.ParseCertificate(r.Current.Chain[0])
	must(t, err)
	w.Advance(authority.NotAfter.Add(-30 * 24 * time.Hour).Sub(w.Time()))
	last, err := g.For(t.Context(), "issuing")
	must(t, err)

	for range 3 {
		again, err := g.For(t.Context(), "issuing")
		must(t, err)
		if !again.Current.Certificate.Equal(last.Current.Certificate) {
			t.Fatal("every request makes another")
		}
	}
}

// long is a list that is too long to be signed and encrypted for everybody who asks.
type long struct{}

// Current implements scep.CRLs.
func (long) Current(context.Context, string, string) (revocation.CRL, error) {
	return revocation.CRL{DER: make([]byte, 1<<20+1)}, nil
}

func TestAListThatIsTooLongIsFetchedElsewhere(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	r := open(w)
	r.lists = long{}
	r.reopen()
	by := selfSigned(t, time.Now(), keys()[2], "d.example.test")

	got := r.send(t, "tls-server", draft{kind: "22", transaction: "t", by: by, content: serial(t, by.certificate)})

	if got.status != "2" || got.crls != 0 {
		t.Errorf("%+v", got)
	}
}

// encrypt puts content into an envelope.
func encrypt(t testing.TB, content []byte, to *x509.Certificate) []byte {
	t.Helper()
	envelope, err := cms.Encrypt(content, to)
	must(t, err)
	return envelope
}

func TestACertificateIsGivenToWhoHoldsOneLikeIt(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	r := open(w)
	const name = "d.example.test"
	before := r.enrolled(t, "tls-server", name, keys()[0])
	mine := r.enrolled(t, "tls-server", name, keys()[1])
	other := r.enrolled(t, "tls-server", "e.example.test", keys()[2])
	made, err := w.Requests.Enroll(t.Context(), w.Caller, enrollment.Ask{Door: "rest", Profile: "tls-mutual", CSR: csrWith(t, keys()[0], "", name)})
	must(t, err)
	foreign, err := x509.ParseCertificate(made.Certificate)
	must(t, err)
	elsewhere := *before.certificate
	elsewhere.RawIssuer = other.certificate.RawSubject

	for why, c := range map[string]struct {
		of     *x509.Certificate
		status string
	}{
		"its own":                          {mine.certificate, "0"},
		"the one before":                   {before.certificate, "0"},
		"of another subject":               {other.certificate, "2"},
		"of another profile":               {foreign, "2"},
		"of another issuer by that serial": {&elsewhere, "2"},
	} {
		got := r.send(t, "tls-server", draft{kind: "21", transaction: "t", by: mine, content: serial(t, c.of)})
		if got.status != c.status || got.status == "0" && !got.certificates[0].Equal(c.of) {
			t.Errorf("%s: %+v", why, got)
		}
	}
}

// signedOver signs a message with any digest.
func signedOver(t testing.TB, d draft, digest asn1.ObjectIdentifier, envelope []byte) []byte {
	t.Helper()
	s, err := pkcs7.NewSignedData(envelope)
	must(t, err)
	s.SetDigestAlgorithm(digest)
	attribute := func(last int, value any) pkcs7.Attribute {
		return pkcs7.Attribute{Type: asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, last}, Value: value}
	}
	must(t, s.AddSigner(d.by.certificate, d.by.key, pkcs7.SignerInfoConfig{
		ExtraSignedAttributes: []pkcs7.Attribute{attribute(2, d.kind), attribute(5, []byte("0123456789abcdef")), attribute(7, d.transaction)},
	}))
	raw, err := s.Finish()
	must(t, err)
	return raw
}

func TestOldAlgorithmsAreTakenOnlyWhereTheDoorSaysSo(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	r := open(w)
	const name = "d.example.test"
	list, err := r.service.CACerts(t.Context(), "tls-server")
	must(t, err)
	registrar, err := x509.ParseCertificate(list[0])
	must(t, err)
	by := selfSigned(t, time.Now(), keys()[0], name)
	for _, legacy := range []bool{false, true} {
		r.doors.Legacy = legacy
		for why, c := range map[string]struct {
			des    bool
			digest asn1.ObjectIdentifier
			taken  bool
		}{
			"AES and SHA-256": {false, pkcs7.OIDDigestAlgorithmSHA256, true},
			"DES":             {true, pkcs7.OIDDigestAlgorithmSHA256, legacy},
			"SHA-1":           {false, pkcs7.OIDDigestAlgorithmSHA1, legacy},
		} {
			d := draft{kind: "19", transaction: why, by: by}
			content := csrWith(t, keys()[0], r.passcode(t, passcode.SCEP, "tls-server", name), name)
			envelope := encrypt(t, content, registrar)
			if c.des { // what the library makes unless it is told otherwise
				envelope, err = pkcs7.Encrypt(content, []*x509.Certificate{registrar})
				must(t, err)
			}
			raw, err := r.service.Operation(t.Context(), "tls-server", signedOver(t, d, c.digest, envelope), access.Origin{})
			taken := err == nil && r.read(t, "tls-server", d, raw).status == "0"
			if taken != c.taken {
				t.Errorf("%s with old algorithms %v: %v, %v", why, legacy, taken, err)
			}
		}
	}
}

// A transaction belongs to the profile at whose address it began.
func TestATransactionIsNotPolledAtAnotherProfile(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	r := open(w)
	by := selfSigned(t, time.Now(), keys()[0], "d.example.test")
	enrol := draft{kind: "19", transaction: "t", by: by, content: csrWith(t, keys()[0], r.passcode(t, passcode.SCEP, ApprovedProfile, "d.example.test"), "d.example.test")}
	if got := r.send(t, ApprovedProfile, enrol); got.status != "3" {
		t.Fatalf("%+v", got)
	}
	poll := draft{kind: "20", transaction: "t", by: by, content: names(t, by.certificate)}
	for profile, want := range map[string]string{ApprovedProfile: "3", "tls-server": "2"} {
		if got := r.send(t, profile, poll); got.status != want {
			t.Errorf("%s: %+v", profile, got)
		}
	}
}

// broken is a trail that takes nothing.
type broken struct{}

// Note implements scep.Refusals.
func (broken) Note(context.Context, audit.Record) error {
	return fault.New(fault.Unavailable, "TrailAway", "the trail is away")
}

func TestARefusalThatIsNotRecordedIsNotAnswered(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	r := open(w)
	r.refusals = broken{}
	r.reopen()
	by := selfSigned(t, time.Now(), keys()[0], "d.example.test")
	d := draft{kind: "18", transaction: "t", by: by, content: []byte("x")}

	if _, err := r.service.Operation(t.Context(), "tls-server", r.message(t, "tls-server", d), access.Origin{}); err == nil {
		t.Error("a refusal without a record was answered")
	}
}
