package object

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"chatelaine.dev/internal/vault/seal"
)

// ErrReplayed says that a row is sealed rightly but is not the newest of its identity,
// or that a row is missing: somebody wrote to the database behind our back.
var ErrReplayed = errors.New("row is not the one that was last written; the database was changed from outside")

// sum is the ledger of a vault: the sum of the tags of all its rows modulo 2^256. The
// tags are keyed, so nobody without the data key can make another set of rows add up.
type sum [sha256.Size / 8]uint64

func (s *sum) add(tag [sha256.Size]byte) {
	var carry uint64
	for i := range s {
		t := binary.LittleEndian.Uint64(tag[i*8:])
		x := s[i] + t
		c := b2u(x < t)
		x += carry
		c += b2u(x < carry)
		s[i], carry = x, c
	}
}

func (s *sum) sub(tag [sha256.Size]byte) {
	var borrow uint64
	for i := range s {
		t := binary.LittleEndian.Uint64(tag[i*8:])
		b := b2u(s[i] < t)
		x := s[i] - t
		b += b2u(x < borrow)
		s[i], borrow = x-borrow, b
	}
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func (s sum) bytes() []byte {
	b := make([]byte, 0, sha256.Size)
	for _, x := range s {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return b
}

func sumOf(b []byte) (sum, error) {
	var s sum
	if len(b) != sha256.Size {
		return s, errors.New("ledger: bad size")
	}
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(b[i*8:])
	}
	return s, nil
}

// mark identifies a row in memory; 16 bytes of SHA-256 keep a million rows small.
type mark [16]byte

func markOf(k Kind, name, version string) mark {
	b := make([]byte, 0, 192)
	b = append(append(append(append(append(b, k...), '/'), name...), '/'), version...)
	h := sha256.Sum256(b)
	return mark(h[:16])
}

// revisions is what this process knows of a vault's rows: the newest revision of each.
// It is read from the database once, against the ledger, and then follows the commits.
type revisions struct {
	mu      sync.RWMutex
	known   map[mark]int64 // nil before the first load
	running map[mark]int64 // revisions of changes whose fate is not known yet; gone for a removal
	settles int64          // how often known has changed
	epoch   int64          // of the ledger last verified
}

const gone = -1

// follow announces a change and returns the function that settles it.
func (r *revisions) follow(m mark, revision int64) (settle func(committed bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == nil {
		r.running = map[mark]int64{}
	}
	r.running[m] = revision
	return func(committed bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.running[m] == revision {
			delete(r.running, m)
		}
		r.settles++
		switch {
		case !committed || r.known == nil:
		case revision == gone:
			delete(r.known, m)
		default:
			r.known[m] = max(r.known[m], revision)
		}
	}
}

// trusts reports whether a row at the revision may be what was last written; revision
// gone asks whether the row may be missing.
func (r *revisions) trusts(m mark, revision int64) (ok, loaded bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if x, is := r.running[m]; is && x == revision {
		return true, true
	}
	x, is := r.known[m]
	if revision == gone {
		return !is, r.known != nil
	}
	return is && x == revision, r.known != nil
}

// settled reports whether the two rows are what was last written, and no change of them
// is running whose fate is not known.
func (r *revisions) settled(head, version rowMark) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.running) > 0 {
		if _, is := r.running[head.mark]; is {
			return false
		}
		if _, is := r.running[version.mark]; is {
			return false
		}
	}
	h, ok := r.known[head.mark]
	x, is := r.known[version.mark]
	return ok && is && h == head.revision && x == version.revision
}

// rowMark is a row at a revision.
type rowMark struct {
	mark     mark
	revision int64
}

// moving tells how often what is known has changed, and whether a change is under way.
func (r *revisions) moving() (settles int64, running bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.settles, len(r.running) > 0
}

// superseded reports whether a newer revision of a row is known.
func (r *revisions) superseded(m mark, revision int64) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return revision != gone && revision < r.known[m]
}

// maxReadings bounds how often a read is tried again because rows changed under it.
const maxReadings = 1000

// reading runs a read, again if rows changed between its look at the database and its
// look at the ledger: only a row that is old while nothing changes was put back.
func (v *Vault) reading(fn func() error) error {
	for range maxReadings {
		before, _ := v.rows.moving()
		err := fn()
		if !errors.Is(err, ErrReplayed) {
			return err
		}
		if after, running := v.rows.moving(); after == before && !running {
			return err
		}
		runtime.Gosched()
	}
	return fn()
}

// verify checks that a row is the newest of its identity. It reads the whole ledger on
// first use, and again when another node may have written in between.
func (v *Vault) verify(ctx context.Context, m mark, revision int64) error {
	ok, loaded := v.rows.trusts(m, revision)
	if ok && loaded {
		return nil
	}
	if !loaded || !v.rows.superseded(m, revision) {
		if err := v.load(ctx); err != nil {
			return err
		}
		if ok, _ = v.rows.trusts(m, revision); ok {
			return nil
		}
	}
	return fmt.Errorf("vault %s: revision %d: %w", v.Name, revision, ErrReplayed)
}

// load reads all revisions and holds them against the sealed ledger.
func (v *Vault) load(ctx context.Context) error {
	v.rows.mu.Lock()
	defer v.rows.mu.Unlock()
	known := map[mark]int64{}
	var total sum
	ledger, epoch, err := v.vaults.store.Ledger(ctx, v.Name, func(id RowID) {
		known[markOf(id.Kind, id.Name, id.Version)] = id.Revision
		total.add(v.box.Tag(v.identity(id.Kind, id.Name, id.Version, id.Revision)))
	})
	if err != nil {
		return err
	}
	want, err := v.openLedger(ledger, epoch)
	if err != nil {
		return err
	}
	if total != want || epoch < v.rows.epoch {
		return fmt.Errorf("vault %s: the rows do not add up to the ledger of epoch %d: %w", v.Name, epoch, ErrReplayed)
	}
	v.rows.known, v.rows.epoch = known, epoch
	v.rows.settles++
	return nil
}

func (v *Vault) openLedger(sealed []byte, epoch int64) (sum, error) {
	plain, err := v.box.Open(seal.Identity{Vault: v.Name, Kind: "ledger", Revision: epoch}, sealed)
	if err != nil {
		return sum{}, err
	}
	return sumOf(plain)
}

func (v *Vault) sealLedger(s sum, epoch int64) []byte {
	return v.box.Seal(seal.Identity{Vault: v.Name, Kind: "ledger", Revision: epoch}, s.bytes())
}

func (v *Vault) identity(k Kind, name, version string, revision int64) seal.Identity {
	return seal.Identity{Vault: v.Name, Kind: string(k), Name: name, Version: version, Revision: revision}
}

// Verify holds every row of the vault against its ledger and opens each one. A row that no
// list shows, because a column was changed, is noticed too.
func (v *Vault) Verify(ctx context.Context) error {
	for range maxCounts {
		if err := v.load(ctx); err != nil {
			return err
		}
		known, epoch := v.rows.count()
		shown := 0
		for _, k := range AllKinds() {
			for _, deleted := range []bool{false, true} {
				n, err := v.verifyKind(ctx, k, deleted)
				if err != nil {
					return err
				}
				shown += n
			}
		}
		if shown == known {
			return nil
		}
		if err := v.load(ctx); err != nil {
			return err
		}
		if _, now := v.rows.count(); now == epoch {
			return fmt.Errorf("vault %s: its lists show %d rows of %d: %w", v.Name, shown, known, ErrReplayed)
		}
	}
	return nil // it changes faster than it can be counted; each row was opened
}

// maxCounts is how often rows are counted again because some came or went meanwhile.
const maxCounts = 3

// count returns how many rows objects have, and the epoch in which that was verified.
func (r *revisions) count() (rows int, epoch int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	rows = len(r.known)
	if _, is := r.known[markOf(SettingsRow, "", "")]; is {
		rows--
	}
	return rows, r.epoch
}

// verifyKind opens the objects of a kind with their versions, and returns how many rows
// they have.
func (v *Vault) verifyKind(ctx context.Context, k Kind, deleted bool) (rows int, err error) {
	for after := ""; ; {
		entries, err := v.List(ctx, k, deleted, after, 100)
		if err != nil || len(entries) == 0 {
			return rows, err
		}
		for _, e := range entries {
			rows++
			for from := int64(0); ; {
				vs, next, err := v.Versions(ctx, k, e.Head.Name, from, 100)
				if err != nil {
					return rows, err
				}
				if from = next; len(vs) == 0 {
					break
				}
				rows += len(vs)
			}
		}
		after = entries[len(entries)-1].Head.Name
	}
}
