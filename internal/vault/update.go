package vault

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/settings"
)

// Change is what an update changes; nil fields stay as they are.
type Change struct {
	Tags            map[string]string // replaces all tags; an empty map removes them
	RetentionDays   *int              // only what it is already
	PurgeProtection *bool             // only on
	PolicyMode      *bool
	Policies        *[]settings.Policy // replaces all of them
	Network         *settings.NetworkChange
	Premium         *bool

	Deployment, DiskEncryption, TemplateDeployment *bool // for services of Azure's; kept and returned
}

// apply changes settings, and refuses what cannot be undone or was fixed at creation.
func (ch Change) apply(s *object.Settings) error {
	if ch.RetentionDays != nil && *ch.RetentionDays != s.RetentionDays {
		return fault.New(fault.Invalid, "BadRequest",
			"The property \"softDeleteRetentionInDays\" has been set already and it can't be modified: it is %d.", s.RetentionDays)
	}
	if ch.PurgeProtection != nil && !*ch.PurgeProtection && s.PurgeProtection {
		return fault.New(fault.Invalid, "BadRequest",
			"The property \"enablePurgeProtection\" cannot be set to false. Enabling the purge protection for a vault is an irreversible action.")
	}
	if ch.Tags != nil {
		s.Tags = ch.Tags
	}
	set(&s.PurgeProtection, ch.PurgeProtection)
	set(&s.PolicyMode, ch.PolicyMode)
	set(&s.Policies, ch.Policies)
	set(&s.Premium, ch.Premium)
	set(&s.Enabled.Deployment, ch.Deployment)
	set(&s.Enabled.DiskEncryption, ch.DiskEncryption)
	set(&s.Enabled.TemplateDeployment, ch.TemplateDeployment)
	if ch.Network == nil {
		return nil
	}
	var err error
	s.Network, err = ch.Network.Apply(s.Network)
	return err
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// Update changes a vault. Who changes its access policies, or whether they or roles decide,
// must be allowed to give access there.
func (s *Service) Update(ctx context.Context, c access.Caller, name string, ch Change) (*object.Vault, error) {
	return s.edit(ctx, c, "VaultPatch", name, ch.apply)
}

// Put makes a vault as fresh and ch say, or changes it as ch says if it is there. One that
// is of another kind, or in another resource group, is somebody else's.
func (s *Service) Put(ctx context.Context, c access.Caller, name string, fresh object.Settings, ch Change) (v *object.Vault, created bool, err error) {
	if err := s.authorize(ctx, c, Write, name, "VaultPut"); err != nil {
		return nil, false, err
	}
	v, err = s.Vaults.Open(ctx, name)
	switch {
	case err == nil && (v.Settings().Kind != fresh.Kind || !strings.EqualFold(GroupOf(v.Settings()), GroupOf(fresh))):
		return nil, false, s.Vaults.Available(ctx, name)
	case err == nil:
		v, err = s.edit(ctx, c, "VaultPut", name, ch.apply)
		return v, false, err
	case !fault.Is(err, fault.NotFound):
		return nil, false, err
	}
	if ch.RetentionDays != nil {
		fresh.RetentionDays = *ch.RetentionDays
	}
	ch.RetentionDays = nil
	if err := ch.apply(&fresh); err != nil {
		return nil, false, err
	}
	v, err = s.Create(ctx, c, name, fresh)
	return v, err == nil, err
}

// PolicyOperation is how SetPolicies combines policies.
type PolicyOperation func(list, these []settings.Policy) ([]settings.Policy, error)

// SetPolicies changes the access policies of a vault: op is settings.Add, Replace or Remove.
func (s *Service) SetPolicies(ctx context.Context, c access.Caller, name string, op PolicyOperation, these []settings.Policy) (*object.Vault, error) {
	if err := s.authorize(ctx, c, access.WriteAccess, name, "VaultPatch"); err != nil {
		return nil, err
	}
	return s.edit(ctx, c, "VaultPatch", name, func(set *object.Settings) (err error) {
		set.Policies, err = op(set.Policies, these)
		return err
	})
}

// edit runs one change of a vault's settings. It is tried on the settings as they are
// first, to know what must be authorised: that cannot wait for the transaction, because a
// refusal is recorded.
func (s *Service) edit(ctx context.Context, c access.Caller, operation, name string, change func(*object.Settings) error) (*object.Vault, error) {
	if err := s.authorize(ctx, c, Write, name, operation); err != nil {
		return nil, err
	}
	v, err := s.Vaults.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	before := v.Settings()
	after := before
	if err := change(&after); err != nil {
		return nil, err
	}
	mayGrant := grants(before, after)
	if mayGrant {
		if err := s.authorize(ctx, c, access.WriteAccess, name, operation); err != nil {
			return nil, err
		}
	}
	err = s.Transact(ctx, func(ctx context.Context) error {
		var was object.Settings
		is, err := s.Vaults.Edit(ctx, name, func(set *object.Settings) error {
			was = *set
			if !set.Deleted.IsZero() {
				return fault.New(fault.Conflict, "VaultIsDeleted", "The vault %s was deleted meanwhile.", name)
			}
			return change(set)
		})
		if err != nil {
			return err
		}
		if grants(was, is) && !mayGrant {
			return fault.New(fault.Conflict, "Conflict", "Somebody else has just changed who has access to the vault %s; read it and try again.", name)
		}
		return s.record(ctx, c, operation, name, was, is)
	})
	if err != nil {
		return nil, err
	}
	return s.Vaults.Open(ctx, name)
}

// grants reports whether a change says otherwise who has access.
func grants(was, is object.Settings) bool {
	if was.PolicyMode != is.PolicyMode || len(was.Policies) != len(is.Policies) {
		return true
	}
	checked, err := settings.Check(is.Policies) // in the form that is kept, as was is
	return err != nil || !slices.EqualFunc(was.Policies, checked, func(a, b settings.Policy) bool { return reflect.DeepEqual(a, b) })
}

// record records a change of settings, and of each principal's permissions.
func (s *Service) record(ctx context.Context, c access.Caller, operation, name string, was, is object.Settings) error {
	target := string(scopeOf(name))
	if err := s.Audit.Record(ctx, c.Record(operation, target)); err != nil || !grants(was, is) {
		return err
	}
	for _, p := range differing(was.Policies, is.Policies) {
		r := c.Record("VaultAccessPolicyPut", target)
		if len(p.Permissions.Keys)+len(p.Permissions.Secrets)+len(p.Permissions.Certificates)+len(p.Permissions.Storage) == 0 {
			r.Operation = "VaultAccessPolicyDelete"
		}
		r.Details[audit.Assignee], r.Details[audit.Permissions] = p.ObjectID, spell(p.Permissions)
		if err := s.Audit.Record(ctx, r); err != nil {
			return err
		}
	}
	note := c.Record("VaultAccessPolicyChangedEventGridNotification", target)
	note.Details[audit.Count] = strconv.Itoa(len(is.Policies))
	if err := s.Audit.Record(ctx, note); err != nil {
		return err
	}
	return s.announce(ctx, name)
}

// differing are the policies that are new or other than they were; those that are gone
// are among them without permissions.
func differing(was, is []settings.Policy) []settings.Policy {
	type key [2]string
	old := make(map[key]settings.Policy, len(was))
	for _, p := range was {
		old[key{p.ObjectID, p.ApplicationID}] = p
	}
	var out []settings.Policy
	for _, p := range is {
		k := key{p.ObjectID, p.ApplicationID}
		if had, ok := old[k]; !ok || !reflect.DeepEqual(had, p) {
			out = append(out, p)
		}
		delete(old, k)
	}
	for _, p := range was {
		if _, gone := old[key{p.ObjectID, p.ApplicationID}]; gone {
			out = append(out, settings.Policy{ObjectID: p.ObjectID, ApplicationID: p.ApplicationID})
		}
	}
	return out
}

// spell writes permissions in one line.
func spell(p settings.Permissions) string {
	var parts []string
	for _, area := range []struct {
		name  string
		words []string
	}{{"keys", p.Keys}, {"secrets", p.Secrets}, {"certificates", p.Certificates}, {"storage", p.Storage}} {
		if len(area.words) > 0 {
			parts = append(parts, area.name+": "+strings.Join(area.words, " "))
		}
	}
	return strings.Join(parts, "; ")
}

// announce tells subscribers that access to a vault has changed (contract §3).
func (s *Service) announce(ctx context.Context, name string) error {
	name = strings.ToLower(name)
	data, err := json.Marshal(map[string]any{
		"Id": s.AddressOf(name), "VaultName": name, "ObjectType": "Vault", "ObjectName": name, "Version": "", "NBF": nil, "EXP": nil,
	})
	if err != nil {
		return err
	}
	return s.Events.Emit(ctx, event.Event{Source: string(scopeOf(name)), Type: "Microsoft.KeyVault.VaultAccessPolicyChanged", Subject: name, Data: data})
}
