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
	"chatelaine.dev/internal/fault"
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
			"for another key": encrypt(t, victim, thief.certificate),
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
