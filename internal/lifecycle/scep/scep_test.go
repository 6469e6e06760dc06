package scep_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

func rsaSign(key *rsa.PrivateKey, tbs []byte) ([]byte, error) {
	sum := sha256.Sum256(tbs)
	return rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
}

// names is the content of CertPoll, and serial that of GetCert and GetCRL.
func names(t testing.TB, c *x509.Certificate) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct{ Issuer, Subject asn1.RawValue }{asn1.RawValue{FullBytes: c.RawIssuer}, asn1.RawValue{FullBytes: c.RawSubject}})
	must(t, err)
	return der
}

func serial(t testing.TB, c *x509.Certificate) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}{asn1.RawValue{FullBytes: c.RawIssuer}, c.SerialNumber})
	must(t, err)
	return der
}

// Every type of message in every state of authentication: what is not in the table is
// refused. The columns are the types; a letter is the status: s, p, f.
func TestEveryMessageInEveryStateOfAuthentication(t *testing.T) {
	const name = "d.example.test"
	w := New(t, storagetest.SQLite(t))
	r := open(w)
	must(t, w.Revocation.RebuildDue(t.Context()))
	old := r.enrolled(t, "tls-server", name, keys()[0])
	w.Advance(80 * 24 * time.Hour)
	mine := r.enrolled(t, "tls-server", name, keys()[0])
	other := r.enrolled(t, "tls-server", "e.example.test", keys()[1])
	approved := open(w)
	approved.doors.Approval, approved.doors.Challenge = true, false
	revoked := r.enrolled(t, "tls-server", name, keys()[2])
	_, err := w.Revocation.Revoke(t.Context(), access.System("test"), revocation.Request{Authority: "issuing", Serial: revoked.certificate.SerialNumber.Text(16)})
	must(t, err)
	w.Advance(20 * 24 * time.Hour) // old has expired
	fresh := func() string { return r.passcode(t, passcode.SCEP, "tls-server", name) }
	used := fresh()
	self := selfSigned(t, time.Now(), keys()[2], name)
	if got := r.send(t, "tls-server", draft{kind: "19", transaction: "x", by: selfSigned(t, time.Now(), keys()[1], name), content: csrWith(t, keys()[1], used, name)}); got.status != "0" {
		t.Fatalf("using a password: %+v", got)
	}

	types := []string{"19", "17", "20", "21", "22", "18", "3", "4", "99"}
	for state, c := range map[string]struct {
		by        identity
		challenge func() string
		profile   string
		want      string // a letter for each type
	}{
		"one-time password":                    {self, fresh, "", "sfffsffff"},
		"nothing":                              {self, none, "", "ffffsffff"},
		"wrong password":                       {self, text("che_AAAA"), "", "ffffsffff"},
		"used password":                        {self, text(used), "", "ffffsffff"},
		"password of EST":                      {self, text(r.passcode(t, passcode.EST, "tls-server", name)), "", "ffffsffff"},
		"password of another profile":          {self, text(r.passcode(t, passcode.SCEP, ApprovedProfile, name)), "", "ffffsffff"},
		"password for another name":            {self, text(r.passcode(t, passcode.SCEP, "tls-server", "f.example.test")), "", "ffffsffff"},
		"another key signs":                    {selfSigned(t, time.Now(), keys()[1], name), fresh, "", "ffffsffff"},
		"certificate":                          {mine, none, "", "fsfssffff"},
		"certificate and password":             {identity{keys()[2], revoked.certificate}, fresh, "", "sfffsffff"},
		"revoked certificate":                  {revoked, none, "", "ffffsffff"},
		"expired certificate":                  {old, none, "", "ffffsffff"},
		"certificate of another name":          {other, none, "", "ffffsffff"},
		"certificate of ours, another profile": {mine, none, ApprovedProfile, "ffffsffff"},
		"self-signed, the same key and name":   {selfSigned(t, time.Now(), keys()[0], name), none, "", "ffffsffff"},
	} {
		for i, kind := range types {
			to := c.profile
			if to == "" {
				to = "tls-server"
			}
			content := csrWith(t, keys()[2], c.challenge(), name)
			switch kind {
			case "17":
				content = csrWith(t, keys()[0], "", name)
			case "20":
				content = names(t, mine.certificate)
			case "21", "22":
				content = serial(t, mine.certificate)
			}
			got := r.send(t, to, draft{kind: kind, transaction: fmt.Sprint(state, kind), by: c.by, content: content})
			if letter := map[string]string{"0": "s", "3": "p", "2": "f"}[got.status]; letter != c.want[i:i+1] {
				t.Errorf("type %s with %s: %s, failure %q; want %s", kind, state, letter, got.why, c.want[i:i+1])
			}
		}
	}
	refused := w.Records(t, "SCEPUnknown")
	if len(refused) == 0 || refused[0].Outcome != audit.Denied || refused[0].Details[audit.Door] != "scep" {
		t.Errorf("records: %+v", refused)
	}
}

func none() string                { return "" }
func text(s string) func() string { return func() string { return s } }

func TestRenewalKeepsSubjectAndNames(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	r := open(w)
	mine := r.enrolled(t, "tls-server", "d.example.test", keys()[0])
	for _, c := range []struct {
		names  []string
		status string
	}{{[]string{"d.example.test"}, "0"}, {[]string{"e.example.test"}, "2"}, {[]string{"d.example.test", "e.example.test"}, "2"}} {
		if got := r.send(t, "tls-server", draft{kind: "17", transaction: "t", by: mine, content: csrWith(t, keys()[1], "", c.names...)}); got.status != c.status {
			t.Errorf("%v: status %s, want %s", c.names, got.status, c.status)
		}
	}
	r.doors.RenewByCertificate = false
	if got := r.send(t, "tls-server", draft{kind: "17", transaction: "t", by: mine, content: csrWith(t, keys()[1], "", "d.example.test")}); got.status != "2" {
		t.Errorf("renewed by a door that takes no renewals: %+v", got)
	}
}

func TestApprovedRequestIsPolled(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		r := open(w)
		r.doors = profile.SCEPDoor{Approval: true, Names: []string{"*"}}
		by := selfSigned(t, time.Now(), keys()[0], "d.example.test")
		enrol := draft{kind: "19", transaction: "t", by: by, content: csrWith(t, keys()[0], "", "d.example.test")}
		poll := draft{kind: "20", transaction: "t", by: by, content: names(t, by.certificate)}
		for _, d := range []draft{enrol, enrol, poll} {
			if got := r.send(t, "tls-server", d); got.status != "3" {
				t.Fatalf("before the approval type %s has status %s", d.kind, got.status)
			}
		}
		thief := poll
		thief.by = selfSigned(t, time.Now(), keys()[1], "d.example.test")
		waiting, err := w.Requests.List(t.Context(), w.Caller, enrollment.Query{State: enrollment.Pending, Limit: 10})
		must(t, err)
		if len(waiting) != 1 {
			t.Fatalf("%d requests wait, want 1", len(waiting))
		}
		_, err = w.Requests.Approve(t.Context(), Approver, waiting[0].ID, "")
		must(t, err)
		w.Queue.Drain(t)
		w.Restart(t)
		r.reopen()

		got := r.send(t, "tls-server", poll)

		if got.status != "0" || got.certificates[0].DNSNames[0] != "d.example.test" || w.Issued(t) != 1 {
			t.Errorf("status %s with %d issued", got.status, w.Issued(t))
		}
		if got := r.send(t, "tls-server", thief); got.status != "2" || got.why != "4" {
			t.Errorf("another key polls the transaction: %+v", got)
		}
	})
}

func TestStrangersCannotFillTheListOfApprovals(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	r := open(w)
	r.doors = profile.SCEPDoor{Approval: true, Names: []string{"*"}}
	by := selfSigned(t, time.Now(), keys()[0], "d.example.test")
	for i := range 200 {
		if got := r.send(t, "tls-server", draft{kind: "19", transaction: fmt.Sprint(i), by: by, content: csrWith(t, keys()[0], "", "d.example.test")}); got.status != "3" {
			t.Fatalf("request %d: %+v", i, got)
		}
	}

	d := draft{kind: "19", transaction: "one more", by: by, content: csrWith(t, keys()[0], "", "d.example.test")}
	if _, err := r.service.Operation(t.Context(), "tls-server", r.message(t, "tls-server", d), access.Origin{}); !fault.Is(err, fault.Limited) {
		t.Errorf("got %v", err)
	}
}

func TestRegistrarIsRenewedAheadAndTheOneBeforeStillReads(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		r := open(w)
		ca := func() *x509.Certificate {
			list, err := r.service.CACerts(t.Context(), "tls-server")
			must(t, err)
			c, err := x509.ParseCertificate(list[0])
			must(t, err)
			return c
		}
		first := ca()
		w.Restart(t)
		r.reopen()
		if !ca().Equal(first) {
			t.Error("a restart made another registrar")
		}

		w.Advance(310 * 24 * time.Hour)

		second := ca()
		if second.Equal(first) || second.NotAfter.Sub(w.Time()) < 300*24*time.Hour {
			t.Errorf("the registrar ends at %s", second.NotAfter)
		}
		by := selfSigned(t, time.Now(), keys()[0], "d.example.test")
		got := r.send(t, "tls-server", draft{kind: "19", transaction: "t", by: by, to: first, content: csrWith(t, keys()[0], r.passcode(t, passcode.SCEP, "tls-server", "d.example.test"), "d.example.test")})
		if got.status != "0" {
			t.Errorf("a message for the registrar before: %+v", got)
		}
		_, err := w.Revocation.Revoke(t.Context(), access.System("test"), revocation.Request{Authority: "issuing", Serial: second.SerialNumber.Text(16)})
		must(t, err)
		if ca().Equal(second) {
			t.Error("the registrar's certificate is revoked and still in use")
		}
	})
}
