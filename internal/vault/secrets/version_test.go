package secrets_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/seal"
	"chatelaine.dev/internal/vault/secrets"
	"chatelaine.dev/internal/vault/vaulttest"
)

func versionRef(e object.Entry) object.Ref {
	return object.Ref{Vault: vaulttest.Vault, Name: "a", Version: e.Version.ID}
}

// verified opens every row of the vault against its ledger, as this process and as one
// that has just started.
func verified(t *testing.T, f *vaulttest.Floor) {
	t.Helper()
	for range 2 {
		v, err := f.Vaults.Open(t.Context(), vaulttest.Vault)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Verify(t.Context()); err != nil {
			t.Fatalf("verify: %v", err)
		}
		f.Reopen()
	}
}

func TestDeletingTheLatestVersionMakesTheOneBeforeItTheLatest(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := vaulttest.New(t, db)
		s := secrets.New(f.Deps)
		ctx := t.Context()
		first := set(t, f, s, "a", "one")
		second := set(t, f, s, "a", "two")
		third := set(t, f, s, "a", "three")

		gone, err := s.DeleteVersion(ctx, f.Caller, versionRef(third))
		if err != nil || gone.Version.ID != third.Version.ID {
			t.Fatalf("%+v: %v", gone, err)
		}

		if e, b, err := s.Get(ctx, f.Caller, ref("a")); err != nil || b.Value != "two" || e.Version.ID != second.Version.ID {
			t.Errorf("the latest is %s: %v, want the second", e.Version.ID, err)
		}
		if _, b, err := s.Get(ctx, f.Caller, versionRef(third)); !fault.HasCode(err, "SecretNotFound") || b.Value != "" {
			t.Errorf("the deleted version: %v, want SecretNotFound", err)
		}
		if _, err := s.DeleteVersion(ctx, f.Caller, versionRef(third)); !fault.HasCode(err, "SecretNotFound") {
			t.Errorf("delete it again: %v, want SecretNotFound", err)
		}
		verified(t, f)
		fourth := set(t, f, secrets.New(f.Deps), "a", "four")
		if _, err := s.DeleteVersion(ctx, f.Caller, versionRef(first)); err != nil {
			t.Fatalf("delete the oldest: %v", err)
		}
		l, err := s.Versions(ctx, f.Caller, ref("a"), object.Page{Limit: 25})
		var ids []string
		for _, e := range l.Entries {
			ids = append(ids, e.Version.ID)
		}
		if err != nil || !slices.Equal(ids, []string{second.Version.ID, fourth.Version.ID}) {
			t.Errorf("versions %v: %v", ids, err)
		}
		verified(t, f)
	})
}

func TestVersionsArePagedAcrossTheGapsOfDeletedOnes(t *testing.T) {
	t.Parallel()
	f := vaulttest.New(t, storagetest.SQLite(t))
	s := secrets.New(f.Deps)
	var want []string
	for i := range 12 {
		e := set(t, f, s, "a", "v")
		if i%3 != 1 {
			want = append(want, e.Version.ID)
			continue
		}
		set(t, f, s, "a", "newer")
		if _, err := s.DeleteVersion(t.Context(), f.Caller, versionRef(e)); err != nil {
			t.Fatal(err)
		}
		l, err := s.Versions(t.Context(), f.Caller, ref("a"), object.Page{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, l.Entries[len(l.Entries)-1].Version.ID)
	}

	var got []string
	for p := (object.Page{Limit: 4}); ; {
		l, err := s.Versions(t.Context(), f.Caller, ref("a"), p)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range l.Entries {
			got = append(got, e.Version.ID)
		}
		if p.After = l.Next; l.Next == "" {
			break
		}
	}

	if !slices.Equal(got, want) {
		t.Errorf("page by page %v\nwant %v", got, want)
	}
}

func TestTheOnlyVersionCannotBeDeleted(t *testing.T) {
	t.Parallel()
	f := vaulttest.New(t, storagetest.SQLite(t))
	s := secrets.New(f.Deps)
	only := set(t, f, s, "a", "one")

	_, err := s.DeleteVersion(t.Context(), f.Caller, versionRef(only))

	if !fault.HasCode(err, "OnlyVersion") {
		t.Errorf("%v, want OnlyVersion", err)
	}
	if _, b, err := s.Get(t.Context(), f.Caller, ref("a")); err != nil || b.Value != "one" {
		t.Errorf("after the refusal: %v", err)
	}
}

func TestPurgeProtectionKeepsEveryVersion(t *testing.T) {
	t.Parallel()
	db := storagetest.SQLite(t)
	f := vaulttest.New(t, db)
	if err := db.Transact(t.Context(), func(ctx context.Context) error {
		return f.Vaults.Create(ctx, "guarded", object.Settings{RetentionDays: 7, PurgeProtection: true})
	}); err != nil {
		t.Fatal(err)
	}
	s := secrets.New(f.Deps)
	r := object.Ref{Vault: "guarded", Name: "a"}
	for range 2 {
		e, err := s.Set(t.Context(), f.Caller, r, secrets.SetRequest{Value: "x"})
		if err != nil {
			t.Fatal(err)
		}
		r.Version = e.Version.ID
	}

	if _, err := s.DeleteVersion(t.Context(), f.Caller, r); !fault.HasCode(err, "PurgeProtected") {
		t.Errorf("%v, want PurgeProtected", err)
	}
}

func TestDeletingAVersionNeedsTheRightToDeleteAndToPurge(t *testing.T) {
	t.Parallel()
	for _, missing := range []access.Action{"secrets/purge/action", "secrets/delete"} {
		f := vaulttest.New(t, storagetest.SQLite(t))
		s := secrets.New(f.Deps)
		old := set(t, f, s, "a", "one")
		set(t, f, s, "a", "two")
		f.Deny(access.VaultPrefix + missing)

		if _, err := s.DeleteVersion(t.Context(), f.Caller, versionRef(old)); !fault.Is(err, fault.Denied) {
			t.Errorf("without %s: %v, want a refusal", missing, err)
		}
		if _, _, err := s.Get(t.Context(), f.Caller, versionRef(old)); err != nil {
			t.Errorf("without %s: the version is gone: %v", missing, err)
		}
	}
}

func TestDeletedVersionIsRecordedAndAnnounced(t *testing.T) {
	t.Parallel()
	f := vaulttest.New(t, storagetest.SQLite(t))
	s := secrets.New(f.Deps)
	old := set(t, f, s, "a", "one")
	set(t, f, s, "a", "two")
	if _, err := s.DeleteVersion(t.Context(), f.Caller, versionRef(old)); err != nil {
		t.Fatal(err)
	}

	records, err := f.Trail.List(t.Context(), audit.Query{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r := records[0]; r.Operation != "SecretVersionDelete" || r.Outcome != audit.Success || r.Target != "/vaults/payroll/secrets/a" || r.Details[audit.Version] != old.Version.ID {
		t.Errorf("record %+v", r)
	}
	events := f.Events()
	if e := events[len(events)-1]; e.Type != "Chatelaine.SecretVersionDeleted" || e.Subject != "a/"+old.Version.ID {
		t.Errorf("event %+v", e)
	}
}

func TestDeletedVersionPutBackFromOutsideIsNoticed(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		f := vaulttest.New(t, db)
		s := secrets.New(f.Deps)
		ctx := t.Context()
		set(t, f, s, "a", "one")
		latest := set(t, f, s, "a", "two")
		m := meddler{ctx: ctx, db: db}
		const copied = `INSERT INTO objects SELECT * FROM kept`
		if err := m.exec(`CREATE TABLE kept AS SELECT * FROM objects WHERE version = $1`, latest.Version.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := s.DeleteVersion(ctx, f.Caller, versionRef(latest)); err != nil {
			t.Fatal(err)
		}
		if err := m.exec(copied); err != nil {
			t.Fatal(err)
		}

		for range 2 {
			_, b, err := s.Get(ctx, f.Caller, versionRef(latest))
			if !errors.Is(err, object.ErrReplayed) && !errors.Is(err, seal.ErrSealed) || b.Value != "" {
				t.Errorf("the version that was put back: %v, want a refusal", err)
			}
			f.Reopen()
			s = secrets.New(f.Deps)
		}
	})
}

func TestVersionDeletionThatFailsLeavesEverything(t *testing.T) {
	t.Parallel()
	f := vaulttest.New(t, storagetest.SQLite(t))
	s := secrets.New(f.Deps)
	set(t, f, s, "a", "one")
	latest := set(t, f, s, "a", "two")
	broken := errors.New("broken")

	err := f.Transact(t.Context(), func(ctx context.Context) error {
		if _, err := s.DeleteVersion(ctx, f.Caller, versionRef(latest)); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}

	if _, b, err := s.Get(t.Context(), f.Caller, ref("a")); err != nil || b.Value != "two" {
		t.Errorf("after the rollback: %v", err)
	}
	verified(t, f)
}
