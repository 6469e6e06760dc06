package est_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/est"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/storage/storagetest"
)

// doors are the world's profiles with the EST door that a test sets; nil closes it.
type doors struct {
	profile.Set
	door *profile.ESTDoor
}

// Get implements est.Profiles.
func (d *doors) Get(name string) (profile.Profile, error) {
	p, err := d.Set.Get(name)
	p.Doors.EST = d.door
	return p, err
}

func openDoors(w *World) (*est.Service, *passcode.Service, *doors) {
	d := &doors{Set: w.Profiles, door: &profile.ESTDoor{Basic: true, MutualTLS: true, ServerKeygen: true, Names: []string{"*"}}}
	codes := passcode.New(passcode.Deps{Store: w.Store, Profiles: d, Transact: w.DB.Transact, Audit: w.Trail, Guard: w.Floor, Now: w.Time})
	return est.New(est.Deps{
		Profiles: d, Road: w.Requests, Passcodes: codes, Directory: nobody{}, Issued: pkidb.New(w.DB), Waiting: w.Store,
		Refusals: access.NewRefusals(w.Trail, w.Time), Now: w.Time,
	}), codes, d
}

func TestADoorLetsInWhomItSaysAndNobodyElse(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	s, codes, d := openDoors(w)
	const name, profileName = "a.example.test", "tls-mutual"
	key := newKey(t)
	made, err := s.Enroll(t.Context(), visitor(t, w, codes, profileName, name), profileName, csrFor(t, key, name))
	must(t, err)
	leaf, err := x509.ParseCertificate(made.Certificate)
	must(t, err)
	holder, guest := est.Visitor{Certificate: leaf}, visitor(t, w, codes, profileName, name)
	issued := w.Issued(t)
	before := len(w.Records(t, "ESTEnroll"))

	for why, c := range map[string]struct {
		door *profile.ESTDoor
		v    est.Visitor
		want string
	}{
		"closed, a guest":                     {nil, guest, "NoSuchDoor"},
		"certificates only, a guest":          {&profile.ESTDoor{MutualTLS: true, Names: []string{"*"}}, guest, "NoCredential"},
		"passwords only, a holder":            {&profile.ESTDoor{Basic: true, Names: []string{"*"}}, holder, "NoCredential"},
		"a name that the door has not":        {&profile.ESTDoor{Basic: true, MutualTLS: true, Names: []string{"*.other.test"}}, guest, "NameNotAllowed"},
		"a name that the door has not, mine":  {&profile.ESTDoor{Basic: true, MutualTLS: true, Names: []string{"*.other.test"}}, holder, "NameNotAllowed"},
		"nothing shown":                       {&profile.ESTDoor{Basic: true, MutualTLS: true, Names: []string{"*"}}, est.Visitor{}, "NoCredential"},
		"the secret of an unknown app, wrong": {&profile.ESTDoor{Basic: true, Names: []string{"*"}}, est.Visitor{Basic: true, User: "x", Password: access.NewSecret("y")}, "InvalidClient"},
	} {
		d.door = c.door
		if _, err := s.Enroll(t.Context(), c.v, profileName, csrFor(t, newKey(t), name)); !fault.HasCode(err, c.want) {
			t.Errorf("%s: %v, want %s", why, err, c.want)
		}
	}
	d.door = &profile.ESTDoor{MutualTLS: true, Names: []string{"*.other.test"}}
	if _, err := s.Reenroll(t.Context(), holder, profileName, csrFor(t, key, name)); !fault.HasCode(err, "NameNotAllowed") {
		t.Errorf("renewal of a name that the door has no more: %v", err)
	}
	d.door = &profile.ESTDoor{Basic: true, Names: []string{"*"}}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{Organization: []string{"x"}}}, newKey(t))
	must(t, err)
	if _, err := s.Enroll(t.Context(), guest, profileName, der); !fault.HasCode(err, "TooFewNames") {
		t.Errorf("a CSR without names: %v", err)
	}
	if n := w.Issued(t); n != issued {
		t.Errorf("%d were issued", n-issued)
	}
	if n := len(w.Records(t, "ESTEnroll")) - before; n == 0 {
		t.Error("nobody hears of the refusals")
	}
}

func TestKeysAreMadeOnlyWhereTheDoorSaysSo(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	s, codes, d := openDoors(w)
	const name = "a.example.test"
	guest := visitor(t, w, codes, "tls-server", name)
	keygen := func(key *ecdsa.PrivateKey) error {
		_, err := s.ServerKeygen(t.Context(), guest, "tls-server", csrFor(t, key, name))
		return err
	}
	d.door.ServerKeygen = false
	if err := keygen(newKey(t)); !fault.HasCode(err, "NoServerKeygen") {
		t.Errorf("a door without it: %v", err)
	}
	d.door.ServerKeygen = true
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	must(t, err)
	if err := keygen(p224); !fault.HasCode(err, "KeyNotAllowed") && !fault.HasCode(err, "BadCSR") {
		t.Errorf("a kind of key that the profile has not: %v", err)
	}
	if w.Issued(t) != 0 {
		t.Error("something was issued")
	}
	if err := keygen(newKey(t)); err != nil {
		t.Errorf("where it may be: %v", err)
	}
}

// Only the same credential with the same CSR comes back for what waits.
func TestNobodyElseComesBackForWhatWaits(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	s, codes, _ := openDoors(w)
	const name = "a.example.test"
	v, csr := visitor(t, w, codes, ApprovedProfile, name), csrFor(t, newKey(t), name)
	got, err := s.Enroll(t.Context(), v, ApprovedProfile, csr)
	must(t, err)
	if got.Wait == 0 {
		t.Fatalf("%+v", got)
	}

	if _, err := s.Enroll(t.Context(), v, ApprovedProfile, csrFor(t, newKey(t), name)); !fault.HasCode(err, "InvalidPasscode") {
		t.Errorf("the same password, another CSR: %v", err)
	}
	stranger := est.Visitor{Basic: true, Password: access.NewSecret(passcode.Prefix + "AAAA")}
	if _, err := s.Enroll(t.Context(), stranger, ApprovedProfile, csr); !fault.HasCode(err, "InvalidPasscode") {
		t.Errorf("another password, the same CSR: %v", err)
	}
}
