package object

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/seal"
	"chatelaine.dev/internal/vault/settings"
)

// Settings are what an administrator decides about a vault.
type Settings = settings.Vault

// The kinds of a vault.
const (
	KeyVault   = settings.KeyVault
	ManagedHSM = settings.ManagedHSM
)

// MaxRetention is the longest retention, and the one where nobody asks for another.
const MaxRetention = settings.MaxRetention

// Vaults opens vaults and keeps them open: data key unwrapped, settings and row
// revisions in memory. It is safe for concurrent use.
type Vaults struct {
	store    VaultStore
	rows     Store
	dues     DueStore
	planners map[Kind][]Planner // fixed once objects change
	plans    []string           // their names
	root     *seal.Root
	now      func() time.Time
	cache    cache

	mu         sync.RWMutex
	open       map[string]*Vault
	changes    int   // grows with every change of a vault, so that nobody keeps open what was read before it
	generation int64 // of the vaults, as Reload has last seen it
}

// Config is what the registry needs.
type Config struct {
	Vaults VaultStore
	Rows   Store
	Dues   DueStore
	Root   *seal.Root
	Now    func() time.Time
	// Memory bounds the opened entries that are kept, in bytes. It must be 0 where other
	// processes write to the same database.
	Memory int
}

// NewVaults makes the registry of vaults.
func NewVaults(c Config) *Vaults {
	return &Vaults{store: c.Vaults, rows: c.Rows, dues: c.Dues, root: c.Root, now: c.Now, cache: cache{budget: c.Memory / 2}, open: map[string]*Vault{}}
}

// Vault is an open vault.
type Vault struct {
	Name string

	vaults *Vaults
	box    *seal.Box
	key    []byte               // the data key, wrapped: another one is another vault
	gate   atomic.Pointer[gate] // replaced as a whole, never changed
	rows   revisions

	revision, generation int64 // of the settings; under vaults.mu
}

// gate is the settings as every request needs them: with the rules compiled.
type gate struct {
	Settings
	policies *settings.Policies
	network  *settings.Filter
}

func compile(s Settings) *gate {
	return &gate{Settings: s, policies: settings.Compile(s.Policies), network: s.Network.Compile()}
}

// stateOf is what the row of the vault says beside its sealed settings.
func stateOf(s Settings) VaultState {
	if s.Deleted.IsZero() {
		return VaultLive
	}
	return VaultDeleted
}

// Settings are the settings as they are now.
func (v *Vault) Settings() Settings { return v.gate.Load().Settings }

var vaultName = regexp.MustCompile(`^[a-zA-Z][0-9a-zA-Z-]{1,22}[0-9a-zA-Z]$`)

// CheckVaultName refuses names that contract §2.4 does not allow.
func CheckVaultName(name string) error {
	if !vaultName.MatchString(name) || strings.Contains(name, "--") {
		return fault.New(fault.Invalid, "VaultNameNotValid", "The vault name %.40q is not valid: want 3 to 24 letters, digits and single hyphens, a letter first, no hyphen last.", name)
	}
	return nil
}

// Create adds a vault, and what found, if any, puts into it. It must run inside a transaction.
func (vs *Vaults) Create(ctx context.Context, name string, s Settings, found ...func(v *Vault) error) error {
	if err := CheckVaultName(name); err != nil {
		return err
	}
	s.Created = vs.now().UTC()
	s, err := s.Check()
	if err != nil {
		return err
	}
	name = strings.ToLower(name)
	if err := vs.Available(ctx, name); err != nil {
		return err
	}
	box, wrapped, err := vs.root.NewDataKey("vault/" + name)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(s)
	if err != nil {
		return err
	}
	v := &Vault{Name: name, vaults: vs, box: box}
	err = vs.store.AddVault(ctx, VaultRow{
		Name: name, DataKey: wrapped, Revision: 1, Sealed: box.Seal(settingsIdentity(name, 1), plain),
		Ledger: v.sealLedger(sum{}, 0),
	})
	v.gate.Store(compile(s))
	v.rows.known = map[mark]int64{} // nothing is there yet, and nobody else can see it
	for _, f := range found {
		if err == nil {
			err = f(v)
		}
	}
	return err
}

func settingsIdentity(name string, revision int64) seal.Identity {
	return seal.Identity{Vault: name, Kind: string(SettingsRow), Revision: revision}
}

// SettingsRow is the kind of the vault's own row in the ledger, from revision 2 on.
const SettingsRow Kind = "settings"

// Open returns a vault. One that does not exist, or is deleted, is fault.NotFound.
func (vs *Vaults) Open(ctx context.Context, name string) (*Vault, error) {
	v, err := vs.OpenAny(ctx, name)
	if err != nil {
		return nil, err
	}
	if !v.gate.Load().Deleted.IsZero() {
		return nil, vaultNotFound(name)
	}
	return v, nil
}

func vaultNotFound(name string) error {
	return fault.New(fault.NotFound, "VaultNotFound", "There is no vault %.40s here.", name)
}

// OpenAny is Open for deleted vaults too.
func (vs *Vaults) OpenAny(ctx context.Context, name string) (*Vault, error) {
	name = strings.ToLower(name)
	for range maxReads {
		vs.mu.RLock()
		v, changes := vs.open[name], vs.changes
		vs.mu.RUnlock()
		if v != nil {
			return v, nil
		}
		v, err := vs.read(ctx, name)
		if err != nil {
			return nil, err
		}
		if v, ok := vs.keep(v, changes); ok {
			return v, nil
		}
	}
	return nil, fault.New(fault.Unavailable, "Busy", "the vaults change too fast to be read; try again")
}

// maxReads is how often a vault is read again because another has just changed.
const maxReads = 16

// read returns a vault as it is stored, held against its ledger.
func (vs *Vaults) read(ctx context.Context, name string) (*Vault, error) {
	r, err := vs.store.Vault(ctx, name)
	if fault.Is(err, fault.NotFound) || (err == nil && r.State == VaultPurging) {
		return nil, vaultNotFound(name)
	}
	if err != nil {
		return nil, err
	}
	v, err := vs.unseal(r)
	if err != nil {
		return nil, err
	}
	expect := r.Revision
	if expect == 1 { // as it was created; the ledger knows later ones
		expect = gone
	}
	return v, v.verify(ctx, markOf(SettingsRow, "", ""), expect)
}

// keep leaves v open, unless some vault has changed since changes was read. If somebody
// was faster, theirs is returned: all must share one table of revisions.
func (vs *Vaults) keep(v *Vault, changes int) (*Vault, bool) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if first := vs.open[v.Name]; first != nil {
		return first, true
	}
	if vs.changes != changes {
		return nil, false
	}
	vs.open[v.Name] = v
	return v, true
}

func (vs *Vaults) unseal(r VaultRow) (*Vault, error) {
	box, err := vs.root.OpenDataKey("vault/"+r.Name, r.DataKey)
	if err != nil {
		return nil, err
	}
	plain, err := box.Open(settingsIdentity(r.Name, r.Revision), r.Sealed)
	if err != nil {
		return nil, err
	}
	v := &Vault{Name: r.Name, vaults: vs, box: box, key: r.DataKey, revision: r.Revision, generation: r.Generation}
	var s Settings
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, err
	}
	if stateOf(s) != r.State {
		return nil, fmt.Errorf("vault %s: a column was changed: %w", r.Name, seal.ErrSealed)
	}
	v.gate.Store(compile(s))
	return v, nil
}

// List returns live vaults by name, after a name.
func (vs *Vaults) List(ctx context.Context, after string, limit int) ([]*Vault, error) {
	return vs.list(ctx, VaultLive, after, limit)
}

// ListDeleted returns deleted vaults by name, after a name.
func (vs *Vaults) ListDeleted(ctx context.Context, after string, limit int) ([]*Vault, error) {
	return vs.list(ctx, VaultDeleted, after, limit)
}

func (vs *Vaults) list(ctx context.Context, state VaultState, after string, limit int) ([]*Vault, error) {
	rows, err := vs.store.Vaults(ctx, state, strings.ToLower(after), limit)
	if err != nil {
		return nil, err
	}
	list := make([]*Vault, 0, len(rows))
	for _, r := range rows {
		v, err := vs.unseal(r)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// Edit changes the settings of a vault, live or deleted, as edit says, and returns them.
// It must run inside a transaction. The new settings hold in this process once that has
// committed, and in others when they Reload.
func (vs *Vaults) Edit(ctx context.Context, name string, edit func(s *Settings) error) (s Settings, err error) {
	err = vs.change(ctx, name, func(t *turn, row VaultRow) error {
		s = t.v.Settings().Clone()
		if err := edit(&s); err != nil {
			return err
		}
		s.Updated = t.now
		if s, err = s.Check(); err != nil {
			return err
		}
		plain, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if row.Revision > 1 {
			t.total.sub(t.v.box.Tag(settingsIdentity(row.Name, row.Revision)))
		}
		row.Revision++
		id := settingsIdentity(row.Name, row.Revision)
		t.total.add(t.v.box.Tag(id))
		row.Sealed, row.State, row.Purge = t.v.box.Seal(id, plain), stateOf(s), s.Purge
		if row.Generation, err = vs.store.PutVault(ctx, row); err != nil {
			return err
		}
		vs.rows.AfterCommit(ctx, func(committed bool) {
			if committed {
				vs.publish(row, s)
			}
		})
		return nil
	})
	return s, err
}

// change runs fn with a vault, live or deleted, locked against other changes.
func (vs *Vaults) change(ctx context.Context, name string, fn func(t *turn, row VaultRow) error) error {
	read := func() (*Vault, VaultRow, error) {
		row, err := vs.store.Vault(ctx, strings.ToLower(name))
		if fault.Is(err, fault.NotFound) || (err == nil && row.State == VaultPurging) {
			return nil, row, vaultNotFound(name)
		}
		if err != nil {
			return nil, row, err
		}
		v, err := vs.unseal(row)
		return v, row, err
	}
	v, _, err := read()
	if err != nil {
		return err
	}
	return v.change(ctx, func(t *turn) error {
		v, row, err := read() // once more: now it is locked
		if err != nil {
			return err
		}
		t.v = v
		return fn(t, row)
	})
}

// publish shows new settings to whoever has the vault open.
func (vs *Vaults) publish(row VaultRow, s Settings) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	vs.changes++
	v := vs.open[row.Name]
	if v == nil {
		return
	}
	if !bytes.Equal(v.key, row.DataKey) { // another vault of that name
		delete(vs.open, row.Name)
		vs.cache.forget(v)
		return
	}
	if row.Revision > v.revision {
		v.revision, v.generation = row.Revision, row.Generation
		v.rows.follow(markOf(SettingsRow, "", ""), row.Revision)(true)
		v.gate.Store(compile(s))
	}
}

// forget closes a vault that is no more.
func (vs *Vaults) forget(name string) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	vs.changes++
	if v := vs.open[name]; v != nil {
		delete(vs.open, name)
		vs.cache.forget(v)
	}
}

// Reload takes over what other nodes have changed about vaults. It costs one small read
// when nothing has.
func (vs *Vaults) Reload(ctx context.Context) error {
	vs.mu.RLock()
	since := vs.generation
	vs.mu.RUnlock()
	generation, marks, err := vs.store.Marks(ctx, since)
	if err != nil || generation == since {
		return err
	}
	stored := make(map[string]int64, len(marks))
	for _, m := range marks {
		stored[m.Name] = m.Generation
	}
	for _, name := range vs.stale(stored) {
		row, err := vs.store.Vault(ctx, name)
		if fault.Is(err, fault.NotFound) || (err == nil && row.State == VaultPurging) {
			vs.forget(name)
			continue
		}
		if err != nil {
			return err
		}
		v, err := vs.unseal(row)
		if err != nil {
			return err
		}
		vs.publish(row, v.Settings())
	}
	vs.mu.Lock()
	vs.generation = generation
	vs.mu.Unlock()
	return nil
}

// stale are the open vaults that the store has otherwise. Who reads a vault just now reads
// it again.
func (vs *Vaults) stale(stored map[string]int64) []string {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	vs.changes++
	var names []string
	for name, v := range vs.open {
		if g, ok := stored[name]; !ok || g != v.generation {
			names = append(names, name)
		}
	}
	return names
}

// Available says why a name cannot be used for a new vault; nil says that it can.
func (vs *Vaults) Available(ctx context.Context, name string) error {
	r, err := vs.store.Vault(ctx, strings.ToLower(name))
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	switch r.State {
	case VaultDeleted:
		return fault.New(fault.Conflict, "VaultIsDeleted",
			"A vault with the same name %s already exists in deleted state. You need to either recover or purge existing key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft delete.", name)
	case VaultPurging:
		return fault.New(fault.Conflict, "VaultIsPurging", "The vault %s is just being purged; its name is free in a moment.", name)
	}
	return fault.New(fault.Conflict, "VaultAlreadyExists",
		"The vault name %s is already in use. Vault names are globally unique so it is possible that the name is already taken.", name)
}

// OpenDeleted returns a deleted vault; fault.NotFound.
func (vs *Vaults) OpenDeleted(ctx context.Context, name string) (*Vault, error) {
	v, err := vs.OpenAny(ctx, name)
	if fault.HasCode(err, "VaultNotFound") || (err == nil && v.Settings().Deleted.IsZero()) {
		return nil, deletedVaultNotFound(name)
	}
	return v, err
}

func deletedVaultNotFound(name string) error {
	return fault.New(fault.NotFound, "DeletedVaultNotFound", "There is no deleted vault %.40s here. It was never deleted, or was recovered or purged.", name)
}

// Shred makes a deleted vault unreadable for good: its data key goes, and with it all that
// it sealed. due says that its retention has ended; otherwise purge protection forbids
// it. The rows remain, and the name stays taken, until Erase has removed them. It must
// run inside a transaction.
func (vs *Vaults) Shred(ctx context.Context, name string, due bool) error {
	err := vs.change(ctx, name, func(t *turn, row VaultRow) error {
		switch s := t.v.Settings(); {
		case s.Deleted.IsZero():
			return deletedVaultNotFound(name)
		case due && t.now.Before(s.Purge):
			return notDue(s.Purge)
		case s.PurgeProtection && !due:
			return fault.New(fault.Denied, "PurgeProtected",
				"Operation 'DeletedVaultPurge' is not allowed: the vault %s has purge protection, and goes by itself on %s.", row.Name, s.Purge.Format(time.RFC3339))
		}
		row.DataKey, row.Sealed = []byte{}, []byte{}
		row.State, row.Revision = VaultPurging, row.Revision+1
		if _, err := vs.store.PutVault(ctx, row); err != nil {
			return err
		}
		vs.rows.AfterCommit(ctx, func(committed bool) {
			if committed {
				vs.forget(row.Name)
			}
		})
		return nil
	})
	if fault.HasCode(err, "VaultNotFound") {
		return deletedVaultNotFound(name)
	}
	return err
}

// notDue says that a column which says when to purge was changed: what is sealed decides.
func notDue(purge time.Time) error {
	return fault.New(fault.Denied, "RetentionNotOver", "The retention ends on %s.", purge.Format(time.RFC3339))
}

// eraseBatch is how many rows go in one transaction, so that others who write wait for
// milliseconds only.
const eraseBatch = 2000

// Erase removes the rows of a vault that was shredded and then frees its name. It needs no
// transaction around it; after a crash it goes on where it was.
func (vs *Vaults) Erase(ctx context.Context, transact func(ctx context.Context, fn func(ctx context.Context) error) error, name string) error {
	for done := false; !done; {
		err := transact(ctx, func(ctx context.Context) (err error) {
			done, err = vs.store.Erase(ctx, strings.ToLower(name), eraseBatch)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
