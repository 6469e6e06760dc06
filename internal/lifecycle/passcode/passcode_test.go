package passcode_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

// twisted is the store, with one of the two guards against a second use taken away.
type twisted struct {
	passcode.Store
	forgetful bool // what is read looks unused, as it did before another request used it
	lenient   bool // what is written is taken, whatever is there
}

// PasscodeByDigest implements passcode.Store.
func (s *twisted) PasscodeByDigest(ctx context.Context, digest string) (passcode.Entry, error) {
	e, err := s.Store.PasscodeByDigest(ctx, digest)
	if s.forgetful {
		e.SpentFor, e.Spent = "", time.Time{}
	}
	return e, err
}

// SpendPasscode implements passcode.Store.
func (s *twisted) SpendPasscode(ctx context.Context, id, csr string, at time.Time) error {
	err := s.Store.SpendPasscode(ctx, id, csr, at)
	if s.lenient {
		return nil
	}
	return err
}

func open(w *World, s passcode.Store) *passcode.Service {
	return passcode.New(passcode.Deps{Store: s, Profiles: w.Profiles, Transact: w.DB.Transact, Audit: w.Trail, Guard: w.Floor, Now: w.Time})
}

func create(t testing.TB, w *World, s *passcode.Service, names ...string) (passcode.Passcode, access.Secret) {
	t.Helper()
	p, secret, err := s.Create(t.Context(), w.Caller, passcode.Draft{Door: passcode.SCEP, Profile: "tls-server", Names: names})
	if err != nil {
		t.Fatal(err)
	}
	return p, secret
}

func use(secret access.Secret, csr byte) passcode.Use {
	return passcode.Use{Door: passcode.SCEP, Profile: "tls-server", Secret: secret, CSR: [32]byte{csr}, Names: []string{"a.example.test"}}
}

func TestAPasscodeIsForOneCSR(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		store := &twisted{Store: w.Store}
		s := open(w, store)
		p, secret := create(t, w, s, "a.example.test")

		if _, err := s.Spend(t.Context(), use(secret, 1)); err != nil {
			t.Fatal(err)
		}

		// Each of the two guards holds alone: the one that reads, and the one that writes.
		for why, twist := range map[string]twisted{
			"":                       {},
			"as the reader has it":   {lenient: true},
			"as the database has it": {forgetful: true},
		} {
			store.lenient, store.forgetful = twist.lenient, twist.forgetful
			if _, err := s.Spend(t.Context(), use(secret, 2)); !fault.HasCode(err, "InvalidPasscode") {
				t.Errorf("another CSR %s: %v", why, err)
			}
			if _, err := s.Spend(t.Context(), use(secret, 1)); err != nil {
				t.Errorf("the same CSR %s: %v", why, err)
			}
		}
		store.lenient, store.forgetful = false, false
		if n := len(w.Records(t, "PasscodeSpend")); n != 2 { // once more by the one that forgot
			t.Errorf("%d records", n)
		}
		if err := s.Release(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Spend(t.Context(), use(secret, 2)); err != nil {
			t.Errorf("after it was given back: %v", err)
		}
	})
}

// OpenBao and Vault took one-time codes again when a space was put before them (CVE-2025-6014).
func TestAPasscodeHasOneSpelling(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	s := open(w, w.Store)
	_, secret := create(t, w, s, "*")
	text := secret.Reveal()
	for _, other := range []string{"", " " + text, text + " ", text + "\n", text + "\x00", strings.ToUpper(text), strings.TrimPrefix(text, passcode.Prefix), text[:len(text)-1], passcode.Prefix} {
		if _, err := s.Spend(t.Context(), use(access.NewSecret(other), 1)); !fault.HasCode(err, "InvalidPasscode") {
			t.Errorf("%q: %v", strings.ReplaceAll(other, text, "…"), err)
		}
	}
	if _, err := s.Spend(t.Context(), use(secret, 1)); err != nil {
		t.Error(err)
	}
}

func TestARefusedNameSpendsNothing(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	s := open(w, w.Store)
	_, secret := create(t, w, s, "*.example.test")
	bad := use(secret, 1)
	bad.Names = append(bad.Names, "a.other.test")
	if _, err := s.Spend(t.Context(), bad); !fault.HasCode(err, "NameNotAllowed") {
		t.Errorf("got %v", err)
	}
	if _, err := s.Spend(t.Context(), use(secret, 2)); err != nil {
		t.Errorf("another CSR afterwards: %v", err)
	}
}

func TestAPasscodeThatNoDoorWouldTakeIsNotMade(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	s := open(w, w.Store)
	good := passcode.Draft{Door: passcode.SCEP, Profile: "tls-server", Names: []string{"a.example.test"}}
	for code, change := range map[string]func(d *passcode.Draft){
		"UnknownDoor":  func(d *passcode.Draft) { d.Door = "acme" },
		"DoorClosed":   func(d *passcode.Draft) { d.Profile = "tls-client" },
		"InvalidLife":  func(d *passcode.Draft) { d.Life = 366 * 24 * time.Hour },
		"InvalidNames": func(d *passcode.Draft) { d.Names = nil },
		"TextTooLong":  func(d *passcode.Draft) { d.Comment = strings.Repeat("x", 256) },
	} {
		d := good
		change(&d)
		if _, _, err := s.Create(t.Context(), w.Caller, d); !fault.HasCode(err, code) {
			t.Errorf("got %v, want %s", err, code)
		}
	}
	for _, names := range [][]string{{""}, {" a"}, {"a\xff"}, {strings.Repeat("a", 256)}, make([]string, 101)} {
		d := good
		d.Names = names
		if _, _, err := s.Create(t.Context(), w.Caller, d); !fault.HasCode(err, "InvalidNames") {
			t.Errorf("%.20q: %v", names, err)
		}
	}
	if list, err := s.List(t.Context(), w.Caller, "", 10); err != nil || len(list) != 0 {
		t.Errorf("%d were made, %v", len(list), err)
	}
}

func TestExpiredPasscodesAreForgottenAfterAMonth(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		s := open(w, w.Store)
		create(t, w, s, "*")
		w.Advance(31*24*time.Hour + time.Hour)
		create(t, w, s, "*")
		list, err := s.List(t.Context(), w.Caller, "", 10)
		if err != nil || len(list) != 1 {
			t.Errorf("%d passcodes, %v", len(list), err)
		}
	})
}
