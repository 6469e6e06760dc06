package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/blob"
	"chatelaine.dev/internal/blob/blobtest"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/hsm/backup"
	"chatelaine.dev/internal/vault/hsm/domain"
	"chatelaine.dev/internal/vault/hsm/hsmtest"
	"chatelaine.dev/internal/vault/hsm/role"
	"chatelaine.dev/internal/vault/hsm/setting"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
)

// site is an installation with one HSM and a service of backups, and a user of its keys.
type site struct {
	*hsmtest.World
	backups *backup.Service
	domains *domain.Service
	queued  []backup.Run
	user    access.Caller
}

func open(t *testing.T, db *storage.DB, s *blobtest.Server) *site {
	t.Helper()
	x := &site{World: hsmtest.New(t, db), user: hsmtest.Someone()}
	x.domains = domain.New(x.Deps)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots(), MinVersion: tls.VersionTLS12}}
	x.backups = backup.New(backup.Config{
		Deps: x.Deps, Domains: x.domains, Roles: x.Roles,
		Containers: func(address string, token backup.Token) (backup.Container, error) {
			return blob.New(address, string(token), transport)
		},
		Enqueue: func(_ context.Context, r backup.Run) error {
			x.queued = append(x.queued, r)
			return nil
		},
	})
	x.Assign(t, x.user, role.CryptoUser, "/")
	x.Assign(t, x.user, role.CryptoOfficer, "/")
	return x
}

func place(s *blobtest.Server) backup.Place {
	return backup.Place{Address: s.URL(), Token: blobtest.Token}
}

// run starts a task of an HSM, does its work and returns what came of it.
func (x *site) run(t *testing.T, hsm string, task backup.Task, p backup.Place) backup.Job {
	t.Helper()
	j, err := x.backups.Start(t.Context(), x.Caller, hsm, task, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.backups.HandleRun(t.Context(), x.queued[len(x.queued)-1]); err != nil {
		t.Fatal(err)
	}
	restores := task != backup.Full && task != backup.CheckFull
	done, err := x.backups.Status(t.Context(), x.Caller, hsm, j.ID, restores)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// save makes a backup and returns where it lies.
func (x *site) save(t *testing.T, s *blobtest.Server) backup.Place {
	t.Helper()
	j := x.run(t, hsmtest.HSM, backup.Full, place(s))
	if j.Status != backup.Succeeded || j.URL != s.URL()+"/"+j.Folder || j.Ended.IsZero() {
		t.Fatalf("backup %+v", j)
	}
	p := place(s)
	p.Folder = j.Folder
	return p
}

func ref(name string) object.Ref { return object.Ref{Vault: hsmtest.HSM, Name: name} }

func (x *site) create(t *testing.T, name string) object.Entry {
	t.Helper()
	e, err := x.Keys.Create(t.Context(), x.user, ref(name), keys.CreateRequest{Type: "EC-HSM", Attributes: object.Attributes{Tags: map[string]string{"canary": "tag-of-" + name}}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (x *site) names(t *testing.T) []string {
	t.Helper()
	l, err := x.Keys.List(t.Context(), x.user, hsmtest.HSM, object.Page{Limit: 25})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range l.Entries {
		names = append(names, e.Head.Name)
	}
	return names
}

func digest(text string) []byte {
	d := sha256.Sum256([]byte(text))
	return d[:]
}

func (x *site) sign(t *testing.T, r object.Ref) []byte {
	t.Helper()
	res, err := x.Keys.Sign(t.Context(), x.user, r, keys.Input{Algorithm: "ES256", Input: algorithm.Input{Value: digest("text")}})
	if err != nil {
		t.Fatal(err)
	}
	return res.Value
}

func (x *site) verifies(t *testing.T, r object.Ref, signature []byte) bool {
	t.Helper()
	ok, err := x.Keys.Verify(t.Context(), x.user, r, keys.Input{Algorithm: "ES256", Input: algorithm.Input{Value: digest("text")}}, signature)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestRestoreMakesTheHSMWhatItWas(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := blobtest.New(t)
		x := open(t, db, s)
		first := x.create(t, "Signing").Version.ID
		x.create(t, "signing")
		x.create(t, "gone")
		if _, err := x.Keys.Delete(t.Context(), x.user, ref("gone")); err != nil {
			t.Fatal(err)
		}
		settings := setting.New(x.Deps)
		if _, err := settings.Update(t.Context(), x.Caller, hsmtest.HSM, "AllowKeyManagementOperationsThroughARM", "true"); err != nil {
			t.Fatal(err)
		}
		old := object.Ref{Vault: hsmtest.HSM, Name: "signing", Version: first}
		signature := x.sign(t, old)
		p := x.save(t, s)

		// Everything changes afterwards.
		if _, err := x.Keys.Update(t.Context(), x.user, old, keys.UpdateRequest{Attributes: object.Attributes{Tags: map[string]string{}}}); err != nil {
			t.Fatal(err)
		}
		x.create(t, "signing")
		x.create(t, "newer")
		if _, err := x.Keys.Recover(t.Context(), x.user, ref("gone")); err != nil {
			t.Fatal(err)
		}
		if _, err := settings.Update(t.Context(), x.Caller, hsmtest.HSM, "AllowKeyManagementOperationsThroughARM", "false"); err != nil {
			t.Fatal(err)
		}
		late := x.Assign(t, hsmtest.Someone(), role.CryptoUser, "/")

		j := x.run(t, hsmtest.HSM, backup.Whole, p)

		if j.Status != backup.Succeeded || j.Code != "" {
			t.Fatalf("restore %+v", j)
		}
		if got := x.names(t); !slices.Equal(got, []string{"Signing"}) {
			t.Errorf("keys %v, want Signing alone", got)
		}
		versions, err := x.Keys.Versions(t.Context(), x.user, ref("signing"), object.Page{Limit: 25})
		if err != nil || len(versions.Entries) != 2 || versions.Entries[0].Version.ID != first || versions.Entries[0].Version.Tags["canary"] != "tag-of-Signing" {
			t.Errorf("versions %+v, %v", versions.Entries, err)
		}
		if !x.verifies(t, old, signature) {
			t.Error("an old signature no longer verifies")
		}
		if _, err := x.Keys.GetDeleted(t.Context(), x.user, ref("gone")); err != nil {
			t.Errorf("the deleted key: %v", err)
		}
		if got, err := settings.Get(t.Context(), x.Caller, hsmtest.HSM, "AllowKeyManagementOperationsThroughARM"); err != nil || got.Value != "true" {
			t.Errorf("setting %+v, %v", got, err)
		}
		if _, err := x.Roles.Assignment(t.Context(), x.Caller, hsmtest.HSM, "/", late.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("an assignment made after the backup: %v", err)
		}
		v, err := x.Vaults.Open(t.Context(), hsmtest.HSM)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Verify(t.Context()); err != nil {
			t.Errorf("the ledger: %v", err)
		}
	})
}

func TestOneKeyComesBackOverWhatIsThere(t *testing.T) {
	s := blobtest.New(t)
	x := open(t, storagetest.SQLite(t), s)
	x.create(t, "a")
	x.create(t, "b")
	p := x.save(t, s)
	x.create(t, "a")
	for _, do := range []func() error{
		func() error { _, err := x.Keys.Delete(t.Context(), x.user, ref("b")); return err },
		func() error { return x.Keys.Purge(t.Context(), x.user, ref("b")) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}

	for _, name := range []string{"A", "b"} {
		p.Key = name
		if j := x.run(t, hsmtest.HSM, backup.SelectedKey, p); j.Status != backup.Succeeded {
			t.Errorf("%s: %+v", name, j)
		}
		l, err := x.Keys.Versions(t.Context(), x.user, ref(name), object.Page{Limit: 25})
		if err != nil || len(l.Entries) != 1 {
			t.Errorf("%s has %d versions, %v", name, len(l.Entries), err)
		}
		x.sign(t, ref(name))
	}
	p.Key = "none"
	if j := x.run(t, hsmtest.HSM, backup.SelectedKey, p); j.Status != backup.Failed || j.Code != "KeyNotFound" {
		t.Errorf("a key that the backup does not have: %+v", j)
	}
}

func TestNothingReadableLeaves(t *testing.T) {
	s := blobtest.New(t)
	x := open(t, storagetest.SQLite(t), s)
	x.create(t, "canarykey")
	x.save(t, s)

	for _, name := range s.Names() {
		for _, canary := range []string{"canarykey", "tag-of-canary", x.user.Principal, "CryptoUser", role.CryptoUser, `"d"`} {
			if bytes.Contains(s.Blob(name), []byte(canary)) {
				t.Errorf("%s holds %q in the clear", name, canary)
			}
		}
	}
}

func TestBackupOfAnotherSecurityDomainIsRefused(t *testing.T) {
	s := blobtest.New(t)
	x := open(t, storagetest.SQLite(t), s)
	x.create(t, "a")
	p := x.save(t, s)
	x.Create(t, "second", object.Settings{Kind: object.ManagedHSM})

	j := x.run(t, "second", backup.Whole, p)

	if j.Status != backup.Failed || j.Code != "SecurityDomainMismatch" {
		t.Errorf("%+v", j)
	}
}

// Whoever has the storage can do what they like with it: nothing of it is taken for ours.
func TestAlteredBackupChangesNothing(t *testing.T) {
	s := blobtest.New(t)
	x := open(t, storagetest.SQLite(t), s)
	for i := range 3 {
		x.create(t, fmt.Sprint("k", i))
	}
	p := x.save(t, s)
	other := x.save(t, s)
	x.create(t, "after")
	manifest, part := p.Folder+"/manifest", p.Folder+"/part-000001"
	whole := map[string][]byte{manifest: s.Blob(manifest), part: s.Blob(part)}
	flip := func(name string, at int) {
		b := bytes.Clone(whole[name])
		b[at%len(b)] ^= 0x40
		s.Set(name, b)
	}
	for what, spoil := range map[string]func(){
		"the preamble":                 func() { flip(manifest, 15) },
		"the salt":                     func() { flip(manifest, bytes.Index(whole[manifest], []byte(`"salt":"`))+12) },
		"the inventory":                func() { flip(manifest, len(whole[manifest])-3) },
		"a manifest cut short":         func() { s.Set(manifest, whole[manifest][:40]) },
		"a part":                       func() { flip(part, len(whole[part])/2) },
		"a part cut short":             func() { s.Set(part, whole[part][:100]) },
		"a part of another backup":     func() { s.Set(part, s.Blob(other.Folder+"/part-000001")) },
		"the manifest of another":      func() { s.Set(manifest, s.Blob(other.Folder+"/manifest")) },
		"nothing in place of the part": func() { s.Set(part, nil) },
		"something else as manifest":   func() { s.Set(manifest, []byte("{}\n{}")) },
		"a manifest that never ends":   func() { s.Set(manifest, bytes.Repeat([]byte("{"), 5<<20)) },
		"a manifest of another version": func() {
			s.Set(manifest, bytes.Replace(whole[manifest], []byte(`"version":1`), []byte(`"version":2`), 1))
		},
	} {
		spoil()
		if j := x.run(t, hsmtest.HSM, backup.Whole, p); j.Status != backup.Failed {
			t.Errorf("%s: %+v", what, j)
		}
		if got := x.names(t); len(got) != 4 {
			t.Errorf("%s: afterwards the keys are %v", what, got)
		}
		for name, b := range whole {
			s.Set(name, b)
		}
	}
	if j := x.run(t, hsmtest.HSM, backup.CheckWhole, p); j.Status != backup.Succeeded {
		t.Errorf("the whole backup: %+v", j)
	}
	if got := x.names(t); len(got) != 4 {
		t.Errorf("a check changed the keys: %v", got)
	}
}

func TestOneJobRunsAtATime(t *testing.T) {
	s := blobtest.New(t)
	x := open(t, storagetest.SQLite(t), s)
	first, err := x.backups.Start(t.Context(), x.Caller, hsmtest.HSM, backup.Full, place(s))
	if err != nil {
		t.Fatal(err)
	}

	if _, err := x.backups.Start(t.Context(), x.Caller, hsmtest.HSM, backup.CheckFull, place(s)); !fault.HasCode(err, "OperationInProgress") {
		t.Errorf("a second: %v", err)
	}
	x.Advance(3 * time.Hour)
	j, err := x.backups.Status(t.Context(), x.Caller, hsmtest.HSM, first.ID, false)
	if err != nil || j.Status != backup.Failed || j.Code != "Interrupted" {
		t.Errorf("a job that nobody does: %+v, %v", j, err)
	}
	if _, err := x.backups.Start(t.Context(), x.Caller, hsmtest.HSM, backup.CheckFull, place(s)); err != nil {
		t.Errorf("after it: %v", err)
	}
	if err := x.backups.HandleRun(t.Context(), x.queued[0]); err != nil {
		t.Errorf("the job that was given up: %v", err)
	}
	if len(s.Names()) != 0 {
		t.Errorf("the job that was given up wrote %v", s.Names())
	}
}

func TestStorageThatRefusesFailsTheJobAndSaysWhy(t *testing.T) {
	s := blobtest.New(t)
	x := open(t, storagetest.SQLite(t), s)
	p := place(s)
	p.Token = backup.Token(strings.Replace(blobtest.Token, "sig=", "sig=wrong", 1))

	if j := x.run(t, hsmtest.HSM, backup.CheckFull, p); j.Status != backup.Failed || j.Code != "AuthenticationFailed" || j.Message == "" {
		t.Errorf("%+v", j)
	}
	if j := x.run(t, hsmtest.HSM, backup.CheckFull, place(s)); j.Status != backup.Succeeded {
		t.Errorf("%+v", j)
	}
	if len(s.Names()) != 0 {
		t.Errorf("a check left %v", s.Names())
	}
}

func TestStorageThatIsAwayIsAskedAgain(t *testing.T) {
	s := blobtest.New(t)
	x := open(t, storagetest.SQLite(t), s)
	s.Fail(func(string, string) int { return http.StatusServiceUnavailable })
	j, err := x.backups.Start(t.Context(), x.Caller, hsmtest.HSM, backup.Full, place(s))
	if err != nil {
		t.Fatal(err)
	}
	for try := range 2 {
		if err := x.backups.HandleRun(t.Context(), x.queued[0]); !fault.Is(err, fault.Unavailable) {
			t.Errorf("try %d: %v", try, err)
		}
	}
	if now, err := x.backups.Status(t.Context(), x.Caller, hsmtest.HSM, j.ID, false); err != nil || now.Status != backup.InProgress {
		t.Errorf("in between: %+v, %v", now, err)
	}
	if err := x.backups.HandleRun(t.Context(), x.queued[0]); err != nil {
		t.Error(err)
	}
	if now, err := x.backups.Status(t.Context(), x.Caller, hsmtest.HSM, j.ID, false); err != nil || now.Status != backup.Failed || now.Code != "ServerBusy" {
		t.Errorf("at the end: %+v, %v", now, err)
	}
}

func TestRestoreThatWasCutOffGoesOn(t *testing.T) {
	s := blobtest.New(t)
	x := open(t, storagetest.SQLite(t), s)
	x.create(t, "a")
	p := x.save(t, s)
	x.create(t, "b")
	if _, err := x.backups.Start(t.Context(), x.Caller, hsmtest.HSM, backup.Whole, p); err != nil {
		t.Fatal(err)
	}
	r := x.queued[len(x.queued)-1]
	dying, kill := context.WithCancelCause(t.Context())
	gets := 0
	s.Fail(func(method, name string) int {
		if strings.HasSuffix(name, "part-000001") {
			if gets++; gets == 2 { // the second time is when keys are written
				kill(errors.New("the machine goes down"))
				return http.StatusServiceUnavailable
			}
		}
		return 0
	})
	if err := x.backups.HandleRun(dying, r); err == nil {
		t.Fatal("a run that was cut off says that it is done")
	}
	s.Fail(nil)

	if err := x.backups.HandleRun(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	j, err := x.backups.Status(t.Context(), x.Caller, hsmtest.HSM, r.Job, true)
	if err != nil || j.Status != backup.Succeeded || !slices.Equal(x.names(t), []string{"a"}) {
		t.Errorf("%+v, %v, keys %v", j, err, x.names(t))
	}
}

// A job whose process seemed dead is taken up while it still runs: its end is told once.
func TestJobEndsOnce(t *testing.T) {
	s := blobtest.New(t)
	x := open(t, storagetest.SQLite(t), s)
	if _, err := x.backups.Start(t.Context(), x.Caller, hsmtest.HSM, backup.Full, place(s)); err != nil {
		t.Fatal(err)
	}
	r := x.queued[0]
	waiting, other := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.Fail(func(_, name string) int {
		if strings.HasSuffix(name, "manifest") {
			once.Do(func() {
				close(waiting)
				go func() { // the storage is locked while it is asked
					defer close(other)
					s.Fail(nil)
					if err := x.backups.HandleRun(t.Context(), r); err != nil {
						t.Error(err)
					}
				}()
			})
		}
		return 0
	})
	if err := x.backups.HandleRun(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	<-waiting
	<-other

	count := 0
	for _, op := range x.Operations(t) {
		if op == "HSMBackup" {
			count++
		}
	}
	if count != 1 {
		t.Errorf("its end is recorded %d times", count)
	}
}

func TestPurgeProtectedHSMLosesNoVersion(t *testing.T) {
	s := blobtest.New(t)
	x := open(t, storagetest.SQLite(t), s)
	x.create(t, "a")
	p := x.save(t, s)
	x.Protect(t)
	if j := x.run(t, hsmtest.HSM, backup.Whole, p); j.Status != backup.Succeeded {
		t.Errorf("nothing would be lost: %+v", j)
	}
	x.create(t, "a")

	if j := x.run(t, hsmtest.HSM, backup.Whole, p); j.Status != backup.Failed || j.Code != "PurgeProtected" {
		t.Errorf("whole: %+v", j)
	}
	p.Key = "a"
	if j := x.run(t, hsmtest.HSM, backup.SelectedKey, p); j.Status != backup.Failed || j.Code != "PurgeProtected" {
		t.Errorf("one key: %+v", j)
	}
}

func TestTokenIsErasedAndNeverPrinted(t *testing.T) {
	s := blobtest.New(t)
	x := open(t, storagetest.SQLite(t), s)
	j, err := x.backups.Start(t.Context(), x.Caller, hsmtest.HSM, backup.Full, place(s))
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s %q %x", j, j, j, j.Token, j.Token, j.Token); strings.Contains(text, "sig=") {
		t.Errorf("it prints: %s", text)
	}
	if err := x.backups.HandleRun(t.Context(), x.queued[0]); err != nil {
		t.Fatal(err)
	}
	now, err := x.backups.Status(t.Context(), x.Caller, hsmtest.HSM, j.ID, false)
	if err != nil || now.Token != "" {
		t.Errorf("the token is kept after the end: %v", err)
	}
}

func TestRequestsThatCannotWorkAreRefusedAtOnce(t *testing.T) {
	s := blobtest.New(t)
	x := open(t, storagetest.SQLite(t), s)
	for name, p := range map[string]backup.Place{
		"managed identity": {Address: s.URL(), Managed: true},
		"no token":         {Address: s.URL()},
		"no address":       {Token: blobtest.Token},
		"plain http":       {Address: "http://example.com/c", Token: blobtest.Token},
		"no folder":        {Address: s.URL(), Token: blobtest.Token},
		"a path":           {Address: s.URL(), Token: blobtest.Token, Folder: "../x"},
	} {
		if _, err := x.backups.Start(t.Context(), x.Caller, hsmtest.HSM, backup.Whole, p); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := x.backups.Status(t.Context(), x.Caller, hsmtest.HSM, base64.StdEncoding.EncodeToString([]byte("x")), true); !fault.Is(err, fault.NotFound) {
		t.Errorf("a job that is none: %v", err)
	}
	if len(x.queued) != 0 {
		t.Errorf("queued %v", x.queued)
	}
}

func TestBackupsAreRecordedFromBeginningToEnd(t *testing.T) {
	s := blobtest.New(t)
	x := open(t, storagetest.SQLite(t), s)
	x.save(t, s)

	ops := x.Operations(t)
	for _, want := range []string{"HSMBackupStart", "HSMBackup", "HSMBackupStatus"} {
		if !slices.Contains(ops, want) {
			t.Errorf("%s is not recorded: %v", want, ops)
		}
	}
}
