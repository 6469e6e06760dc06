package session_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/accesstest"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/access/session"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

const right = "correct horse battery"

func ada(t *testing.T, f *accesstest.Floor) directory.Principal {
	t.Helper()
	p, err := f.Directory.CreateUser(t.Context(), f.Administrator(), directory.NewUser{Name: "Ada", SignIn: "ada", Password: access.NewSecret(right)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func attempt(name, password, address string) session.Attempt {
	return session.Attempt{Name: name, Password: access.NewSecret(password), From: access.Origin{Address: address, Agent: "browser"}}
}

func signIn(t *testing.T, f *accesstest.Floor) session.Session {
	t.Helper()
	s, err := f.Sessions.SignIn(t.Context(), attempt("ada", right, "192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ended(t *testing.T, f *accesstest.Floor, id access.Secret) bool {
	t.Helper()
	c, err := f.Sessions.Authenticate(t.Context(), id)
	if err != nil && (!fault.HasCode(err, "SessionEnded") || !fault.Is(err, fault.Unauthenticated)) {
		t.Errorf("session: %v", err)
	}
	return err != nil && c == access.Caller{}
}

func TestLinkSignsInOnce(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		link, err := f.Sessions.CreateLink(t.Context(), access.System("serve"), f.Admin.ID)
		if err != nil {
			t.Fatal(err)
		}
		var in atomic.Int32
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				s, err := f.Sessions.SignInByLink(t.Context(), link.Token, access.Secret{}, access.Origin{Address: fmt.Sprintf("192.0.2.%d", i)})
				switch {
				case err == nil:
					in.Add(1)
					if c, err := f.Sessions.Authenticate(t.Context(), s.ID); err != nil || c.Principal != f.Admin.ID {
						t.Errorf("%+v %v", c, err)
					}
				case !fault.HasCode(err, "InvalidLink") || !fault.Is(err, fault.Unauthenticated):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 {
			t.Errorf("the link let %d in", in.Load())
		}
		granted, refused := 0, 0
		for _, r := range f.Records(t, "SignIn") {
			if r.Outcome == audit.Success {
				granted++
			} else {
				refused++
			}
		}
		if granted != 1 || refused != 9 {
			t.Errorf("records: %d granted, %d refused", granted, refused)
		}
	})
}

func TestLinkEnds(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	use := func(token access.Secret) error {
		_, err := f.Sessions.SignInByLink(t.Context(), token, access.Secret{}, access.Origin{})
		return err
	}
	create := func(p string) access.Secret {
		l, err := f.Sessions.CreateLink(t.Context(), f.Administrator(), p)
		if err != nil {
			t.Fatal(err)
		}
		return l.Token
	}
	p := ada(t, f)
	late, locked, changed, good := create(p.ID), create(p.ID), create(p.ID), create(p.ID)
	f.Advance(15*time.Minute - time.Nanosecond)
	if err := use(good); err != nil {
		t.Errorf("in time: %v", err)
	}
	f.Advance(time.Nanosecond)
	wrong := map[string]error{"late": use(late), "none": use(access.Secret{}), "unknown": use(access.Generate("chl_")), "a session id": use(signIn(t, f).ID)}
	f.Advance(-time.Minute)
	if err := f.Directory.SetPassword(t.Context(), f.Administrator(), p.ID, access.NewSecret("another good one")); err != nil {
		t.Fatal(err)
	}
	wrong["older than the password"] = use(changed)
	if _, err := f.Directory.SetEnabled(t.Context(), f.Administrator(), p.ID, false); err != nil {
		t.Fatal(err)
	}
	wrong["disabled"] = use(locked)
	for name, err := range wrong {
		if !fault.HasCode(err, "InvalidLink") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.Sessions.CreateLink(t.Context(), f.Application(t, "x", "Operator", "/"), f.Admin.ID); !fault.Is(err, fault.Denied) {
		t.Errorf("a link by whoever may not: %v", err)
	}
}

func TestSessionEndsWhenIdleAndAfterEightHours(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		ada(t, f)
		s := signIn(t, f)
		f.Advance(15*time.Minute - time.Microsecond)
		if ended(t, f, s.ID) {
			t.Error("ended while in use")
		}
		f.Advance(15*time.Minute - time.Microsecond)
		if ended(t, f, s.ID) {
			t.Error("its use was not noted")
		}
		f.Advance(15 * time.Minute)
		if !ended(t, f, s.ID) {
			t.Error("idle, and it lives")
		}

		s = signIn(t, f)
		begin := f.Time()
		for f.Time().Sub(begin) < 8*time.Hour-10*time.Minute {
			f.Advance(10 * time.Minute)
			if ended(t, f, s.ID) {
				t.Fatalf("ended after %s", f.Time().Sub(begin))
			}
		}
		f.Advance(10 * time.Minute)
		if !ended(t, f, s.ID) {
			t.Error("eight hours, and it lives")
		}

		if err := f.Sessions.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := db.QueryRow(t.Context(), `SELECT count(*) FROM access_sessions`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d sessions are kept: %v", n, err)
		}
	})
}

func TestSessionEndsWithWhatItStandsOn(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := accesstest.New(t, db)
		p := ada(t, f)
		ctx, as := t.Context(), f.Administrator()
		for name, end := range map[string]func(s session.Session) error{
			"signed out":            func(s session.Session) error { return f.Sessions.SignOut(ctx, s.ID, access.Origin{}) },
			"signed out everywhere": func(s session.Session) error { return f.Sessions.SignOutEverywhere(ctx, p.Caller(), p.ID) },
			"disabled and enabled": func(session.Session) error {
				if _, err := f.Directory.SetEnabled(ctx, as, p.ID, false); err != nil {
					return err
				}
				_, err := f.Directory.SetEnabled(ctx, as, p.ID, true)
				return err
			},
			"new password": func(session.Session) error { return f.Directory.SetPassword(ctx, as, p.ID, access.NewSecret(right)) },
			"own password": func(session.Session) error {
				return f.Directory.ChangePassword(ctx, p.Caller(), access.NewSecret(right), access.NewSecret(right))
			},
			"another's row": func(s session.Session) error {
				other := signIn(t, f)
				d, o := s.ID.Digest(), other.ID.Digest()
				_, err := db.Exec(ctx, `UPDATE access_sessions SET sealed = (SELECT sealed FROM access_sessions WHERE hash = $1) WHERE hash = $2`, o[:], d[:])
				return err
			},
		} {
			s := signIn(t, f)
			if ended(t, f, s.ID) {
				t.Fatal("it did not begin")
			}
			if err := end(s); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !ended(t, f, s.ID) {
				t.Errorf("%s, and the session lives", name)
			}
		}
		if err := f.Directory.ChangePassword(ctx, p.Caller(), access.NewSecret("a wrong one indeed"), access.NewSecret(right)); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("a new password without the old: %v", err)
		}
		if err := f.Sessions.SignOutEverywhere(ctx, p.Caller(), f.Admin.ID); !fault.Is(err, fault.Denied) {
			t.Errorf("another is signed out by whoever may not: %v", err)
		}
	})
}

// Fixation: an attacker plants an id in the victim's browser, the victim signs in, and the
// attacker's copy must be worth nothing.
func TestSignInNeverKeepsAnId(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	p := ada(t, f)
	planted := signIn(t, f)
	a := attempt("ada", right, "192.0.2.2")
	a.Previous = planted.ID

	s, err := f.Sessions.SignIn(t.Context(), a)

	if err != nil || s.ID == planted.ID || !ended(t, f, planted.ID) || ended(t, f, s.ID) {
		t.Errorf("by password: %v", err)
	}
	link, err := f.Sessions.CreateLink(t.Context(), f.Administrator(), p.ID)
	if err != nil {
		t.Fatal(err)
	}
	s2, err := f.Sessions.SignInByLink(t.Context(), link.Token, s.ID, access.Origin{})
	if err != nil || s2.ID == s.ID || !ended(t, f, s.ID) || ended(t, f, s2.ID) {
		t.Errorf("by link: %v", err)
	}
	made := access.NewSecret("chosen by an attacker")
	a.Previous = made
	if s3, err := f.Sessions.SignIn(t.Context(), a); err != nil || s3.ID == made || !ended(t, f, made) {
		t.Errorf("an id that was never issued: %v", err)
	}
	for _, id := range []access.Secret{{}, access.NewSecret(" "), link.Token} {
		if _, err := f.Sessions.Authenticate(t.Context(), id); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%q: %v", id.Reveal(), err)
		}
	}
}

func TestStoredSessionsAreWorthNothing(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	p := ada(t, f)
	s := signIn(t, f)
	// Whoever writes in the database makes a row of an id that he knows.
	own := access.Generate("")
	d, have := own.Digest(), s.ID.Digest()
	if _, err := f.DB.Exec(t.Context(), `INSERT INTO access_sessions (hash, principal, expires, seen, sealed)
		SELECT $1, principal, expires, seen, sealed FROM access_sessions WHERE hash = $2`, d[:], have[:]); err != nil {
		t.Fatal(err)
	}
	if !ended(t, f, own) {
		t.Errorf("a row of %s under another id signs in", p.Name)
	}
	rows, err := f.DB.Query(t.Context(), `SELECT hash FROM access_sessions`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var hash []byte
		if err := rows.Scan(&hash); err != nil {
			t.Fatal(err)
		}
		if !ended(t, f, access.NewSecret(string(hash))) {
			t.Error("the stored hash signs in")
		}
	}
}

func TestWrongPasswordsAreLimited(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	p := ada(t, f)
	try := func(name, password, address string) error {
		_, err := f.Sessions.SignIn(t.Context(), attempt(name, password, address))
		return err
	}
	for i := range 5 {
		if err := try("ada", "wrong password", "192.0.2.1"); !fault.HasCode(err, "InvalidSignIn") {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	for _, name := range []string{"ada", "ADA"} {
		if err := try(name, right, "192.0.2.1"); !fault.Is(err, fault.Limited) {
			t.Errorf("the sixth as %s: %v", name, err)
		}
	}
	if err := try("ada", right, "192.0.2.2"); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	for i := range 40 {
		err := try(fmt.Sprintf("user%d", i), "wrong password", "192.0.2.3")
		if limited := i >= 30; fault.Is(err, fault.Limited) != limited {
			t.Fatalf("name %d from one address: %v", i, err)
		}
	}
	f.Advance(15 * time.Minute)
	if err := try("ada", right, "192.0.2.1"); err != nil {
		t.Errorf("later: %v", err)
	}

	// Right and wrong in turn: the right ones take back what is theirs.
	for i := range 60 {
		if err := try("ada", right, "192.0.2.9"); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if err := f.Refusals.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, r := range f.Records(t, "SignIn") {
		if r.Outcome == audit.Denied && r.Principal == p.ID {
			named++
		}
	}
	if named == 0 || named > 5 {
		t.Errorf("%d records name the user whose password was guessed", named)
	}
}

func TestManyAtOnceDoNotPassTheLimit(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	ada(t, f)
	var tried atomic.Int32
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if _, err := f.Sessions.SignIn(t.Context(), attempt("ada", "wrong password", "192.0.2.1")); fault.HasCode(err, "InvalidSignIn") {
				tried.Add(1)
			}
		})
	}
	wg.Wait()
	if tried.Load() != 5 {
		t.Errorf("%d passwords were tried", tried.Load())
	}
}

func TestWrongNameIsLikeAWrongPassword(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	p := ada(t, f)
	took := func(name string) (shortest time.Duration, err error) {
		for i := range 4 { // the shortest of some: a busy machine adds time, and never takes it away
			begin := time.Now()
			_, err = f.Directory.ProvePassword(t.Context(), name, access.NewSecret("wrong password"))
			if d := time.Since(begin); i == 0 || d < shortest {
				shortest = d
			}
		}
		return shortest, err
	}
	known, err1 := took("ada")
	unknown, err2 := took("nobody")
	if fault.Of(err1).Message != fault.Of(err2).Message || !fault.HasCode(err1, "InvalidSignIn") || !fault.HasCode(err2, "InvalidSignIn") {
		t.Errorf("%v, %v", err1, err2)
	}
	// One hash is 20 ms or more; skipping it would take microseconds. Noise does not reach a factor of 20.
	if unknown*20 < known || known*20 < unknown {
		t.Errorf("a known name takes %s, an unknown one %s", known, unknown)
	}
	if _, err := f.Directory.SetEnabled(t.Context(), f.Administrator(), p.ID, false); err != nil {
		t.Fatal(err)
	}
	_, err := f.Directory.ProvePassword(t.Context(), "ada", access.NewSecret(right))
	if !fault.HasCode(err, "InvalidSignIn") || fault.Of(err).Message != fault.Of(err1).Message {
		t.Errorf("a disabled user: %v", err)
	}
}

func TestSignInThatIsNotRecordedIsNone(t *testing.T) {
	f := accesstest.New(t, storagetest.SQLite(t))
	ada(t, f)
	f.FailAudit(true)
	s, err := f.Sessions.SignIn(t.Context(), attempt("ada", right, "192.0.2.1"))
	if err == nil || s.ID.Reveal() != "" {
		t.Errorf("signed in without a record: %v", err)
	}
	var n int
	if err := f.DB.QueryRow(context.Background(), `SELECT count(*) FROM access_sessions`).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d sessions: %v", n, err)
	}
}
