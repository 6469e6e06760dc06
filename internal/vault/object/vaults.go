package object

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/seal"
)

// VaultKind says which service a vault stands for.
type VaultKind string

// The kinds of a vault.
const (
	KeyVault   VaultKind = ""    // keys, secrets and certificates, as Azure Key Vault
	ManagedHSM VaultKind = "hsm" // keys only, with roles of its own, as Managed HSM
)

// Settings are what an administrator decides about a vault.
type Settings struct {
	Kind            VaultKind `json:"kind,omitempty"` // never changes
	Created         time.Time `json:"created"`
	RetentionDays   int       `json:"retentionDays"`   // 7 to 90; how long deleted objects can be recovered
	PurgeProtection bool      `json:"purgeProtection"` // nobody can purge before retention ends
}

// RecoveryLevel names what deletion means in this vault (contract §2.3).
func (s Settings) RecoveryLevel() string {
	level := "Recoverable"
	if s.RetentionDays < 90 {
		level = "CustomizedRecoverable"
	}
	if !s.PurgeProtection {
		level += "+Purgeable"
	}
	return level
}

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

	mu   sync.RWMutex
	open map[string]*Vault
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

	vaults   *Vaults
	box      *seal.Box
	settings atomic.Pointer[Settings] // replaced as a whole, never changed
	rows     revisions
}

// Settings are the settings as they are now.
func (v *Vault) Settings() Settings { return *v.settings.Load() }

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
	if s.RetentionDays < 7 || s.RetentionDays > 90 {
		return fault.New(fault.Invalid, "BadParameter", "retention must be 7 to 90 days, not %d", s.RetentionDays)
	}
	name = strings.ToLower(name)
	box, wrapped, err := vs.root.NewDataKey("vault/" + name)
	if err != nil {
		return err
	}
	s.Created = vs.now().UTC()
	plain, err := json.Marshal(s)
	if err != nil {
		return err
	}
	v := &Vault{Name: name, vaults: vs, box: box}
	err = vs.store.AddVault(ctx, VaultRow{
		Name: name, DataKey: wrapped, Revision: 1, Sealed: box.Seal(settingsIdentity(name, 1), plain),
		Ledger: v.sealLedger(sum{}, 0),
	})
	if fault.Is(err, fault.Conflict) {
		return fault.New(fault.Conflict, "VaultAlreadyExists", "The vault name %s is already in use.", name)
	}
	v.settings.Store(&s)
	v.rows.known = map[mark]int64{} // nothing is there yet, and nobody else can see it
	for _, f := range found {
		if err == nil {
			err = f(v)
		}
	}
	return err
}

func settingsIdentity(name string, revision int64) seal.Identity {
	return seal.Identity{Vault: name, Kind: "settings", Revision: revision}
}

// Open returns a vault. A vault that does not exist is fault.NotFound.
func (vs *Vaults) Open(ctx context.Context, name string) (*Vault, error) {
	name = strings.ToLower(name)
	vs.mu.RLock()
	v := vs.open[name]
	vs.mu.RUnlock()
	if v != nil {
		return v, nil
	}
	r, err := vs.store.Vault(ctx, name)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.NotFound, "VaultNotFound", "There is no vault %s here.", name)
	}
	if err != nil {
		return nil, err
	}
	if v, err = vs.unseal(r); err != nil {
		return nil, err
	}
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if first := vs.open[name]; first != nil {
		return first, nil // somebody was faster; all must share one table of revisions
	}
	vs.open[name] = v
	return v, nil
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
	v := &Vault{Name: r.Name, vaults: vs, box: box}
	var s Settings
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, err
	}
	v.settings.Store(&s)
	return v, nil
}

// List returns vaults by name, after a name.
func (vs *Vaults) List(ctx context.Context, after string, limit int) ([]*Vault, error) {
	rows, err := vs.store.Vaults(ctx, strings.ToLower(after), limit)
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

// Verify holds every row of the vault against its ledger and opens each one.
func (v *Vault) Verify(ctx context.Context) error {
	if err := v.load(ctx); err != nil {
		return err
	}
	for _, k := range AllKinds() {
		for _, deleted := range []bool{false, true} {
			if err := v.verifyKind(ctx, k, deleted); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *Vault) verifyKind(ctx context.Context, k Kind, deleted bool) error {
	for after := ""; ; {
		entries, err := v.List(ctx, k, deleted, after, 100)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			for from := int64(0); ; {
				vs, next, err := v.Versions(ctx, k, e.Head.Name, from, 100)
				if err != nil {
					return err
				}
				if from = next; len(vs) == 0 {
					break
				}
			}
		}
		after = entries[len(entries)-1].Head.Name
	}
}
