package object_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/storage/vaultdb"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

// calendar is a vault whose secrets are due when they expire.
type calendar struct {
	*vaulttest.Floor
	store *vaultdb.Store
	vault *object.Vault
}

func newCalendar(t *testing.T, db *storage.DB) *calendar {
	t.Helper()
	c := &calendar{Floor: vaulttest.New(t, db), store: vaultdb.New(db)}
	c.plan(t)
	return c
}

func (c *calendar) plan(t *testing.T) {
	t.Helper()
	c.Vaults.Plan(object.Secrets, "expiry/1", func(e object.Entry) ([]object.Due, error) {
		return []object.Due{{What: "expired", At: e.Version.Expires}}, nil
	})
	v, err := c.Vaults.Open(t.Context(), vaulttest.Vault)
	if err != nil {
		t.Fatal(err)
	}
	c.vault = v
}

// change runs fn in a transaction.
func (c *calendar) change(t *testing.T, fn func(ctx context.Context) error) {
	t.Helper()
	if err := c.Transact(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func (c *calendar) add(t *testing.T, name string, expires time.Time) {
	t.Helper()
	c.change(t, func(ctx context.Context) error {
		_, err := c.vault.Append(ctx, object.Secrets, name, object.Version{Expires: expires, Body: []byte("{}")}, nil)
		return err
	})
}

// dues is what the table says of an object, as hours from a moment.
func (c *calendar) dues(t *testing.T, name string, from time.Time) []string {
	t.Helper()
	rows, err := c.store.DuesOf(t.Context(), vaulttest.Vault, object.Secrets, name)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, r := range rows {
		list = append(list, fmt.Sprintf("%s +%.0fh", r.What, r.At.Sub(from).Hours()))
	}
	return list
}

func (c *calendar) agenda(h object.Handler) *object.Agenda {
	a := object.NewAgenda(c.Deps, c.store, slog.New(slog.DiscardHandler))
	if h != nil {
		a.On(object.Secrets, "expired", h)
	}
	return a
}

func run(t *testing.T, a *object.Agenda) {
	t.Helper()
	if err := a.HandleDue(t.Context(), object.DueArgs{}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsDueFollowsEveryChange(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		c := newCalendar(t, db)
		now := c.Time()
		shelf := object.NewShelf(c.Deps, object.Secrets, map[object.Operation]access.Action{object.Backup: "b", object.Restore: "r"})
		edit := func(version string, expires time.Time) func(ctx context.Context) error {
			return func(ctx context.Context) error {
				_, err := c.vault.Edit(ctx, object.Secrets, "a", version, func(_ object.Head, x *object.Version) error {
					x.Expires = expires
					return nil
				})
				return err
			}
		}
		c.add(t, "A", now.Add(time.Hour))
		first, err := c.vault.Read(t.Context(), object.Secrets, "a", "")
		if err != nil {
			t.Fatal(err)
		}
		var blob []byte
		for _, step := range []struct {
			what string
			do   func(ctx context.Context) error
			want []string
		}{
			{"nothing", func(context.Context) error { return nil }, []string{"expired +1h"}},
			{"edit", edit("", now.Add(2*time.Hour)), []string{"expired +2h"}},
			{"edit to never", edit("", time.Time{}), []string{}},
			{"edit back", edit("", now.Add(3*time.Hour)), []string{"expired +3h"}},
			{"new version", func(ctx context.Context) error {
				_, err := c.vault.Append(ctx, object.Secrets, "a", object.Version{Expires: now.Add(4 * time.Hour), Body: []byte("{}")}, nil)
				return err
			}, []string{"expired +4h"}},
			{"edit the old version", edit(first.Version.ID, now.Add(9*time.Hour)), []string{"expired +4h"}},
			{"head", func(ctx context.Context) error {
				_, err := c.vault.SetHead(ctx, object.Secrets, "a", func(*object.Head) error { return nil })
				return err
			}, []string{"expired +4h"}},
			{"backup", func(ctx context.Context) error {
				blob, err = shelf.Backup(ctx, c.Caller, object.Ref{Vault: vaulttest.Vault, Name: "a"})
				return err
			}, []string{"expired +4h"}},
			{"delete", func(ctx context.Context) error { _, err := c.vault.Delete(ctx, object.Secrets, "a"); return err }, []string{}},
			{"recover", func(ctx context.Context) error { _, err := c.vault.Recover(ctx, object.Secrets, "a"); return err }, []string{"expired +4h"}},
			{"delete again", func(ctx context.Context) error { _, err := c.vault.Delete(ctx, object.Secrets, "a"); return err }, []string{}},
			{"purge", func(ctx context.Context) error { return c.vault.Purge(ctx, object.Secrets, "a", true) }, []string{}},
			{"restore", func(ctx context.Context) error {
				_, err := shelf.Restore(ctx, c.Caller, vaulttest.Vault, blob)
				return err
			}, []string{"expired +4h"}},
		} {
			c.change(t, step.do)
			if d := cmp.Diff(step.want, c.dues(t, "a", now)); d != "" {
				t.Errorf("after %s (-want +got):\n%s", step.what, d)
			}
		}
	})
}

func TestWhatIsDueIsDoneOnceWhoeverLooks(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		c := newCalendar(t, db)
		const objects = 20
		for i := range objects {
			c.add(t, fmt.Sprintf("s%d", i), c.Time().Add(time.Hour))
		}
		var mu sync.Mutex
		done := map[string]int{}
		nodes := make([]*object.Agenda, 4)
		for i := range nodes {
			a := c.agenda(nil)
			a.On(object.Secrets, "expired", a.In(func(ctx context.Context, task object.Task) error {
				db.AfterCommit(ctx, func(committed bool) {
					mu.Lock()
					defer mu.Unlock()
					if committed {
						done[task.Head.Name]++
					}
				})
				return nil
			}))
			nodes[i] = a
		}
		run(t, nodes[0])
		if len(done) != 0 {
			t.Fatalf("done before it was due: %v", done)
		}
		c.Advance(time.Hour)
		var all sync.WaitGroup
		for _, a := range nodes {
			all.Go(func() {
				if err := a.HandleDue(t.Context(), object.DueArgs{}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for i := range objects {
			if n := done[fmt.Sprintf("s%d", i)]; n != 1 {
				t.Errorf("s%d was done %d times", i, n)
			}
		}
	})
}

func TestATaskThatFailsComesAgainAndHoldsNobodyUp(t *testing.T) {
	c := newCalendar(t, storagetest.SQLite(t))
	c.add(t, "bad", c.Time().Add(time.Hour))
	c.add(t, "good", c.Time().Add(2*time.Hour))
	c.Advance(2 * time.Hour)
	var good, bad int
	broken := true
	a := c.agenda(nil)
	a.On(object.Secrets, "expired", a.In(func(_ context.Context, task object.Task) error {
		if task.Head.Name == "good" {
			good++
			return nil
		}
		bad++
		if broken {
			return errors.New("broken")
		}
		return nil
	}))
	run(t, a)
	run(t, a)
	if good != 1 || bad != 1 {
		t.Fatalf("good %d times, bad %d times; want 1 and 1", good, bad)
	}
	for _, step := range []struct {
		wait time.Duration
		want int
	}{{59 * time.Second, 1}, {time.Second, 2}, {time.Minute, 2}, {time.Minute, 3}} {
		c.Advance(step.wait)
		if run(t, a); bad != step.want {
			t.Errorf("%s later it was tried %d times, want %d", step.wait, bad, step.want)
		}
	}
	broken = false
	c.Advance(24 * time.Hour)
	run(t, a)
	c.Advance(24 * time.Hour)
	run(t, a)
	if bad != 4 {
		t.Errorf("tried %d times, want 4: once it succeeded it is done", bad)
	}
}

func TestTheTableOfDueTimesIsNoAuthority(t *testing.T) {
	c := newCalendar(t, storagetest.SQLite(t))
	now := c.Time()
	c.add(t, "a", now.Add(100*time.Hour))
	c.add(t, "b", time.Time{})
	var calls atomic.Int64
	a := c.agenda(func(context.Context, object.Task) error { calls.Add(1); return nil })
	forged := func(vault, name string) {
		r := object.DueRow{Vault: vault, Kind: object.Secrets, Name: name, Due: object.Due{What: "expired", At: now}}
		if err := c.store.PutDue(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	forged(vaulttest.Vault, "a")
	forged(vaulttest.Vault, "b")
	forged(vaulttest.Vault, "nothing")
	forged("nowhere", "a")
	run(t, a)
	if calls.Load() != 0 {
		t.Errorf("%d tasks were done that no object asked for", calls.Load())
	}
	for name, want := range map[string][]string{"a": {"expired +100h"}, "b": {}, "nothing": {}} {
		if got := c.dues(t, name, now); !slices.Equal(got, want) {
			t.Errorf("%s: the table says %q, want %q", name, got, want)
		}
	}
	if rows, err := c.store.Dues(t.Context(), now.Add(time.Hour), 10); err != nil || len(rows) != 0 {
		t.Errorf("left over: %v, %v", rows, err)
	}
}

func TestTheTableOfDueTimesCanBeRebuilt(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		c := newCalendar(t, db)
		now := c.Time()
		c.Vaults = object.NewVaults(object.Config{Vaults: c.store, Rows: c.store, Dues: c.store, Root: c.Root, Now: c.Time}) // a program that plans nothing
		for i := range 3 {
			v, err := c.Vaults.Open(t.Context(), vaulttest.Vault)
			if err != nil {
				t.Fatal(err)
			}
			c.vault = v
			c.add(t, fmt.Sprintf("s%d", i), now.Add(time.Duration(i+1)*time.Hour))
		}
		c.change(t, func(ctx context.Context) error { _, err := c.vault.Delete(ctx, object.Secrets, "s2"); return err })
		old := c.Vaults.Plans()
		c.Reopen()
		c.plan(t)
		if c.Vaults.Plans() == old {
			t.Error("a new planner must show in Plans")
		}

		if err := c.agenda(nil).Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}

		for name, want := range map[string][]string{"s0": {"expired +1h"}, "s1": {"expired +2h"}, "s2": {}} {
			if got := c.dues(t, name, now); !slices.Equal(got, want) {
				t.Errorf("%s: the table says %q, want %q", name, got, want)
			}
		}
	})
}

// What was done for a version is due again for its successor, even at the same time.
func TestASuccessorIsDueByItself(t *testing.T) {
	c := newCalendar(t, storagetest.SQLite(t))
	at := c.Time().Add(time.Hour)
	n := 0
	a := c.agenda(nil)
	a.On(object.Secrets, "expired", a.In(func(context.Context, object.Task) error { n++; return nil }))
	c.add(t, "a", at)
	c.Advance(time.Hour)
	run(t, a)
	c.add(t, "a", at)
	run(t, a)
	run(t, a)
	if n != 2 {
		t.Errorf("done %d times for two versions", n)
	}
}

// An object that somebody altered in the database holds nobody up, and nothing is done to it.
func TestAnAlteredObjectHoldsNobodyUp(t *testing.T) {
	db := storagetest.SQLite(t)
	c := newCalendar(t, db)
	c.add(t, "bad", c.Time().Add(time.Hour))
	c.add(t, "good", c.Time().Add(2*time.Hour))
	if _, err := db.Exec(t.Context(), `UPDATE objects SET sealed = $1 WHERE name = 'bad' AND version = ''`, []byte("altered")); err != nil {
		t.Fatal(err)
	}
	c.Reopen()
	c.plan(t)
	c.Advance(2 * time.Hour)
	var done []string
	a := c.agenda(func(_ context.Context, task object.Task) error { done = append(done, task.Head.Name); return nil })
	run(t, a)
	run(t, a)
	if !slices.Equal(done, []string{"good"}) {
		t.Errorf("done: %q", done)
	}
}
