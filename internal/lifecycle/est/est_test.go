package est_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/est"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/storage/storagetest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// nobody is a directory without applications.
type nobody struct{}

func (nobody) ProveSecret(string, access.Secret) (directory.Principal, directory.Credential, error) {
	return directory.Principal{}, directory.Credential{}, fault.New(fault.Unauthenticated, "InvalidClient", "wrong")
}

func (nobody) Knows(string) string { return "" }

// open opens the service, and the passcodes beside it.
func open(w *World) (*est.Service, *passcode.Service) {
	codes := passcode.New(passcode.Deps{
		Store: w.Store, Profiles: w.Profiles, Transact: w.DB.Transact, Audit: w.Trail, Guard: w.Floor, Now: w.Time,
	})
	return est.New(est.Deps{
		Profiles: w.Profiles, Road: w.Requests, Passcodes: codes, Directory: nobody{}, Issued: pkidb.New(w.DB), Waiting: w.Store,
		Refusals: access.NewRefusals(w.Trail, w.Time), Now: w.Time,
	}), codes
}

// visitor shows a one-time password for a name.
func visitor(t testing.TB, w *World, codes *passcode.Service, profile, name string) est.Visitor {
	t.Helper()
	_, secret, err := codes.Create(t.Context(), w.Caller, passcode.Draft{Door: passcode.EST, Profile: profile, Names: []string{name}})
	must(t, err)
	return est.Visitor{Basic: true, User: "x", Password: secret}
}

func csrFor(t testing.TB, key *ecdsa.PrivateKey, name string) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}, key)
	must(t, err)
	return der
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

func TestClientThatComesBackGetsWhatWasApproved(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		s, codes := open(w)
		v, csr := visitor(t, w, codes, ApprovedProfile, "a.example.test"), csrFor(t, newKey(t), "a.example.test")

		for range 2 {
			got, err := s.Enroll(t.Context(), v, ApprovedProfile, csr)
			must(t, err)
			if got.Wait == 0 || got.Certificate != nil {
				t.Fatalf("before the approval: %+v", got)
			}
		}
		waiting, err := w.Requests.List(t.Context(), w.Caller, enrollment.Query{State: enrollment.Pending, Limit: 10})
		must(t, err)
		if len(waiting) != 1 {
			t.Fatalf("%d requests wait, want 1", len(waiting))
		}
		_, err = w.Requests.Approve(t.Context(), Approver, waiting[0].ID, "")
		must(t, err)
		w.Queue.Drain(t)
		w.Restart(t)
		s, _ = open(w)

		got, err := s.Enroll(t.Context(), v, ApprovedProfile, csr)

		must(t, err)
		leaf, err := x509.ParseCertificate(got.Certificate)
		must(t, err)
		if leaf.DNSNames[0] != "a.example.test" || w.Issued(t) != 1 {
			t.Errorf("it is for %v; %d issued", leaf.DNSNames, w.Issued(t))
		}
	})
}

func TestClientOfADeniedRequestIsToldSoOnce(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	s, codes := open(w)
	v, csr := visitor(t, w, codes, ApprovedProfile, "a.example.test"), csrFor(t, newKey(t), "a.example.test")
	_, err := s.Enroll(t.Context(), v, ApprovedProfile, csr)
	must(t, err)
	waiting, err := w.Requests.List(t.Context(), w.Caller, enrollment.Query{State: enrollment.Pending, Limit: 10})
	must(t, err)
	_, err = w.Requests.Deny(t.Context(), Approver, waiting[0].ID, "who is this?")
	must(t, err)

	_, err = s.Enroll(t.Context(), v, ApprovedProfile, csr)

	if !fault.HasCode(err, "RequestEnded") {
		t.Errorf("got %v", err)
	}
}

// What cannot be answered at once makes no key: nobody would have it.
func TestServerMakesNoKeyThatNeedsAnApproval(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	s, codes := open(w)

	_, err := s.ServerKeygen(t.Context(), visitor(t, w, codes, ApprovedProfile, "a.example.test"), ApprovedProfile, csrFor(t, newKey(t), "a.example.test"))

	if !fault.HasCode(err, "NotAtOnce") {
		t.Errorf("got %v", err)
	}
}

func TestCertificateThatExpiredRenewsNothing(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	s, codes := open(w)
	key := newKey(t)
	made, err := s.Enroll(t.Context(), visitor(t, w, codes, "tls-server", "a.example.test"), "tls-server", csrFor(t, key, "a.example.test"))
	must(t, err)
	leaf, err := x509.ParseCertificate(made.Certificate)
	must(t, err)
	mine := est.Visitor{Certificate: leaf}
	if _, err := s.Reenroll(t.Context(), mine, "tls-server", csrFor(t, key, "a.example.test")); err != nil {
		t.Fatalf("while it is good: %v", err)
	}

	w.Advance(leaf.NotAfter.Add(time.Second).Sub(w.Time()))

	for name, do := range map[string]func() error{
		"simplereenroll": func() error {
			_, err := s.Reenroll(t.Context(), mine, "tls-server", csrFor(t, key, "a.example.test"))
			return err
		},
		"simpleenroll": func() error {
			_, err := s.Enroll(t.Context(), mine, "tls-server", csrFor(t, key, "a.example.test"))
			return err
		},
	} {
		if err := do(); !fault.HasCode(err, "InvalidCertificate") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestOneTimePasswordEnds(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	s, codes := open(w)
	v := visitor(t, w, codes, "tls-server", "a.example.test")
	list, err := codes.List(t.Context(), w.Caller, "", 10)
	must(t, err)
	if len(list) != 1 || !list[0].Spent.IsZero() {
		t.Fatalf("list: %+v", list)
	}

	w.Advance(24 * time.Hour)

	if _, err := s.Enroll(t.Context(), v, "tls-server", csrFor(t, newKey(t), "a.example.test")); !fault.HasCode(err, "InvalidPasscode") {
		t.Errorf("expired: %v", err)
	}
	v = visitor(t, w, codes, "tls-server", "a.example.test")
	list, err = codes.List(t.Context(), w.Caller, "", 10)
	must(t, err)
	must(t, codes.Delete(t.Context(), w.Caller, list[0].ID))
	if _, err := s.Enroll(t.Context(), v, "tls-server", csrFor(t, newKey(t), "a.example.test")); !fault.HasCode(err, "InvalidPasscode") {
		t.Errorf("taken back: %v", err)
	}
}
