package object_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

// shelf is a vault whose secrets are numbers.
type shelf struct {
	*vaulttest.Floor
	vault *object.Vault
}

func newShelf(t *testing.T, db *storage.DB) shelf {
	t.Helper()
	s := shelf{Floor: vaulttest.New(t, db)}
	v, err := s.Vaults.Open(t.Context(), vaulttest.Vault)
	if err != nil {
		t.Fatal(err)
	}
	s.vault = v
	return s
}

func (s shelf) set(ctx context.Context, name string, number int, then error) error {
	return s.Transact(ctx, func(ctx context.Context) error {
		if _, err := s.vault.Append(ctx, object.Secrets, name, object.Version{Body: []byte(strconv.Itoa(number))}, nil); err != nil {
			return err
		}
		if e, err := s.vault.Read(ctx, object.Secrets, name, ""); err != nil || string(e.Version.Body) != strconv.Itoa(number) {
			return fmt.Errorf("a change does not see itself: %s, %w", e.Version.Body, err)
		}
		return then
	})
}

func (s shelf) get(ctx context.Context, name string) (int, error) {
	e, err := s.vault.Read(ctx, object.Secrets, name, "")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(e.Version.Body))
}

// A change that is rolled back leaves its epoch to the next one: what it had read of its
// own must not pass for what the next one wrote.
func TestRolledBackChangeLeavesNothingInMemory(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShelf(t, db)
		ctx := t.Context()
		refused := errors.New("refused")
		if err := s.set(ctx, "a", 1, nil); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if err := s.set(ctx, "a", 100+i, refused); !errors.Is(err, refused) {
				t.Fatal(err)
			}
			if n, err := s.get(ctx, "a"); err != nil || n != 1+i {
				t.Fatalf("after the refusal: %d, %v, want %d", n, err, 1+i)
			}
			if err := s.set(ctx, "a", 2+i, nil); err != nil {
				t.Fatal(err)
			}
			if n, err := s.get(ctx, "a"); err != nil || n != 2+i {
				t.Fatalf("after the change: %d, %v, want %d", n, err, 2+i)
			}
		}
		if err := s.vault.Verify(ctx); err != nil {
			t.Error(err)
		}
	})
}

// The same for one version by its id, which a change does not put into memory by itself.
func TestRolledBackEditLeavesNothingInMemory(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShelf(t, db)
		ctx := t.Context()
		if err := s.set(ctx, "a", 1, nil); err != nil {
			t.Fatal(err)
		}
		e, err := s.vault.Read(ctx, object.Secrets, "a", "")
		if err != nil {
			t.Fatal(err)
		}
		read := func(ctx context.Context) string {
			e, err := s.vault.Read(ctx, object.Secrets, "a", e.Version.ID)
			if err != nil {
				t.Fatal(err)
			}
			return string(e.Version.Body)
		}
		edit := func(version, body string, then error) error {
			return s.Transact(ctx, func(ctx context.Context) error {
				_, err := s.vault.Edit(ctx, object.Secrets, "a", version, func(_ object.Head, x *object.Version) error {
					x.Body = []byte(body)
					return nil
				})
				if then == nil { // or the second change would repair what the first one left
					return err
				}
				if got := read(ctx); err == nil && got != body {
					t.Errorf("inside the change: %s, want %s", got, body)
				}
				return errors.Join(err, then)
			})
		}

		refused := errors.New("refused")
		if err := edit(e.Version.ID, "2", refused); !errors.Is(err, refused) {
			t.Fatal(err)
		}
		if err := edit("", "3", nil); err != nil {
			t.Fatal(err)
		}

		if got := read(ctx); got != "3" {
			t.Errorf("%s, want 3", got)
		}
	})
}

// Whoever reads after a set has returned sees it or a later one, among many who set, fail
// and read at the same time in shared commits.
func TestReadersNeverSeeLessThanWasAcknowledged(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShelf(t, db)
		ctx := t.Context()
		const names, changes = 4, 60
		var acknowledged [names]atomic.Int64
		var writers, readers sync.WaitGroup
		stop := make(chan struct{})
		for i := range names {
			name := fmt.Sprint("s", i)
			if err := s.set(ctx, name, 0, nil); err != nil {
				t.Fatal(err)
			}
			writers.Go(func() {
				for n := 1; n <= changes; n++ {
					var then error
					if n%3 == 0 {
						then = errors.New("refused")
					}
					if err := s.set(ctx, name, n, then); !errors.Is(err, then) {
						t.Error(err)
					}
					if then == nil {
						acknowledged[i].Store(int64(n))
					}
				}
			})
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					least := int(acknowledged[i].Load())
					if n, err := s.get(ctx, name); err != nil || n < least || n > 0 && n%3 == 0 {
						t.Errorf("%s is %d (%v), and %d was acknowledged", name, n, err, least)
						return
					}
				}
			})
		}
		writers.Wait()
		close(stop)
		readers.Wait()
		s.Reopen()
		v, err := s.Vaults.Open(ctx, vaulttest.Vault)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Verify(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatWasDeletedIsGoneFromMemoryToo(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShelf(t, db)
		ctx := t.Context()
		if err := s.set(ctx, "a", 1, nil); err != nil {
			t.Fatal(err)
		}
		first, err := s.vault.Read(ctx, object.Secrets, "a", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.vault.Read(ctx, object.Secrets, "a", first.Version.ID); err != nil {
			t.Fatal(err)
		}
		for _, change := range []func(ctx context.Context) error{
			func(ctx context.Context) error { _, err := s.vault.Delete(ctx, object.Secrets, "a"); return err },
			func(ctx context.Context) error { return s.vault.Purge(ctx, object.Secrets, "a", false) },
		} {
			if err := s.Transact(ctx, change); err != nil {
				t.Fatal(err)
			}
			for _, version := range []string{"", first.Version.ID} {
				if e, err := s.vault.Read(ctx, object.Secrets, "A", version); !fault.Is(err, fault.NotFound) {
					t.Errorf("version %q: %s, %v", version, e.Version.Body, err)
				}
			}
		}
	})
}

// What a kind derives from a version is made once, and anew when the version changes.
func TestDerivedValuesFollowTheirVersion(t *testing.T) {
	s := newShelf(t, storagetest.SQLite(t))
	ctx := t.Context()
	made := 0
	derive := func() int {
		e, err := s.vault.Read(ctx, object.Secrets, "a", "")
		if err != nil {
			t.Fatal(err)
		}
		n, err := object.Derived(e, func(x object.Version) (*int, error) {
			made++
			n, err := strconv.Atoi(string(x.Body))
			return &n, err
		})
		if err != nil {
			t.Fatal(err)
		}
		return *n
	}
	for n := 1; n <= 3; n++ {
		if err := s.set(ctx, "a", n, nil); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if got := derive(); got != n {
				t.Errorf("derived %d, want %d", got, n)
			}
		}
	}
	if made != 3 {
		t.Errorf("made %d times, want 3", made)
	}
}
