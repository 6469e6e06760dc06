package settings

import (
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"chatelaine.dev/internal/fault"
)

// Kind says which service a vault stands for.
type Kind string

// The kinds of a vault.
const (
	KeyVault   Kind = ""    // keys, secrets and certificates, as Azure Key Vault
	ManagedHSM Kind = "hsm" // keys only, with roles of its own, as Managed HSM
)

// Vault is the settings of a vault. They are copied as a whole;
// lists and maps in them are never changed in place.
type Vault struct {
	Kind            Kind      `json:"kind,omitempty"` // never changes
	Created         time.Time `json:"created"`
	Updated         time.Time `json:"updated,omitzero"`
	RetentionDays   int       `json:"retentionDays"`   // 7 to 90; how long what is deleted can be recovered; never changes
	PurgeProtection bool      `json:"purgeProtection"` // nobody can purge before retention ends; never switched off
	Deleted         time.Time `json:"deleted,omitzero"`
	Purge           time.Time `json:"purge,omitzero"` // when a deleted vault goes for good

	// PolicyMode says that access policies decide who may do what, and roles do not.
	PolicyMode bool     `json:"policyMode,omitempty"`
	Policies   []Policy `json:"policies,omitempty"` // kept in either mode
	Network    Network  `json:"network,omitzero"`

	Export Export `json:"export,omitempty"` // what may leave, when two people want it

	Tags     map[string]string `json:"tags,omitempty"`
	Group    string            `json:"group,omitempty"`    // resource group, in the words of Azure Resource Manager
	Location string            `json:"location,omitempty"` // as whoever created the vault has called its place
	Premium  bool              `json:"premium,omitempty"`  // SKU; both have everything here
	Enabled  EnabledFor        `json:"enabledFor,omitzero"`
}

// Export says what an export of a vault may take along.
type Export string

// The exports that there can be. Nothing leaves a vault of which nobody said otherwise.
const (
	ExportNothing     Export = ""
	ExportWithoutKeys Export = "withoutKeys" // everything but the private halves of keys
	ExportAll         Export = "all"
)

// Valid reports whether e is one of them.
func (e Export) Valid() bool { return e == ExportNothing || e == ExportWithoutKeys || e == ExportAll }

// EnabledFor are switches of Azure's for services of Azure's. They are kept and returned.
type EnabledFor struct {
	Deployment         bool `json:"deployment,omitempty"`
	DiskEncryption     bool `json:"diskEncryption,omitempty"`
	TemplateDeployment bool `json:"templateDeployment,omitempty"`
}

// Retention of what is deleted, in days (contract §2.3).
const (
	MinRetention = 7
	MaxRetention = 90
)

// Bounds of a vault's tags, Azure's for a resource.
const (
	maxVaultTags = 50
	maxTagName   = 512 // characters
	maxTagText   = 256
	maxGroup     = 90
	maxLocation  = 64
)

// Place is the location of a vault for which nobody has named one.
const Place = "local"

// RecoveryLevel names what deletion means in this vault (contract §2.3).
func (s Vault) RecoveryLevel() string {
	level := "Recoverable"
	if s.RetentionDays < MaxRetention {
		level = "CustomizedRecoverable"
	}
	if !s.PurgeProtection {
		level += "+Purgeable"
	}
	return level
}

// Where is the location, as clients are told it.
func (s Vault) Where() string {
	if s.Location == "" {
		return Place
	}
	return s.Location
}

// Check returns the settings in the form that is kept.
func (s Vault) Check() (Vault, error) {
	if s.RetentionDays < MinRetention || s.RetentionDays > MaxRetention {
		return s, fault.New(fault.Invalid, "BadParameter", "retention must be %d to %d days, not %d", MinRetention, MaxRetention, s.RetentionDays)
	}
	if len(s.Tags) > maxVaultTags {
		return s, fault.New(fault.Invalid, "BadParameter", "%d tags were sent; a vault has at most %d", len(s.Tags), maxVaultTags)
	}
	for k, v := range s.Tags {
		if k == "" || utf8.RuneCountInString(k) > maxTagName || utf8.RuneCountInString(v) > maxTagText {
			return s, fault.New(fault.Invalid, "BadParameter", "the tag %.40q is too long or has no name; a name has %d characters at most, a value %d", k, maxTagName, maxTagText)
		}
	}
	if len(s.Group) > maxGroup || len(s.Location) > maxLocation {
		return s, fault.New(fault.Invalid, "BadParameter", "the resource group has at most %d characters, the location %d", maxGroup, maxLocation)
	}
	var err error
	if s.Policies, err = Check(s.Policies); err != nil {
		return s, err
	}
	s.Network, err = s.Network.Check()
	return s, err
}

// Clone is a copy whose lists and maps can be changed.
func (s Vault) Clone() Vault {
	s.Policies, s.Tags = slices.Clone(s.Policies), maps.Clone(s.Tags)
	s.Network.IPRules, s.Network.VirtualNetworkRules = slices.Clone(s.Network.IPRules), slices.Clone(s.Network.VirtualNetworkRules)
	return s
}
