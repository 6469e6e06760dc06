package api

import (
	"context"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/settings"
)

// vaultModel is a vault as the API shows it.
type vaultModel struct {
	Name            string            `json:"name"`
	Kind            string            `json:"kind" enum:"vault,hsm"`
	Created         time.Time         `json:"created"`
	Updated         time.Time         `json:"updated,omitzero"`
	RetentionDays   int               `json:"retentionDays" doc:"how long what was deleted can be recovered; fixed when the vault is made"`
	PurgeProtection bool              `json:"purgeProtection" doc:"nobody can purge before retention ends; it cannot be switched off"`
	Access          string            `json:"access" enum:"roles,policies" doc:"what decides who may do what in the vault"`
	Policies        []vaultPolicy     `json:"policies"`
	Network         vaultNetwork      `json:"network"`
	Tags            map[string]string `json:"tags,omitempty"`
	Group           string            `json:"group,omitempty" doc:"resource group, as Azure's tools know it"`
	Location        string            `json:"location" doc:"as whoever made the vault has called its place"`
	Deleted         time.Time         `json:"deleted,omitzero"`
	Purge           time.Time         `json:"purge,omitzero" doc:"when a deleted vault goes for good"`
}

// vaultNetwork is which addresses a vault answers.
type vaultNetwork struct {
	Private       bool     `json:"private" doc:"public addresses are shut out, whatever the rules say"`
	DefaultAction string   `json:"defaultAction" enum:"Allow,Deny" doc:"what happens to an address that no rule lets in"`
	IPRules       []string `json:"ipRules" doc:"addresses and networks that are let in"`
}

func modelOfVault(v *object.Vault) vaultModel {
	s := v.Settings()
	m := vaultModel{
		Name: v.Name, Kind: "vault", Created: s.Created, Updated: s.Updated, RetentionDays: s.RetentionDays, PurgeProtection: s.PurgeProtection,
		Access: accessRoles, Policies: []vaultPolicy{}, Tags: s.Tags, Group: s.Group, Location: s.Where(), Deleted: s.Deleted, Purge: s.Purge,
		Network: vaultNetwork{Private: s.Network.Private, DefaultAction: settings.AllowAction, IPRules: append([]string{}, s.Network.IPRules...)},
	}
	if s.Kind == object.ManagedHSM {
		m.Kind = "hsm"
	}
	if s.PolicyMode {
		m.Access = accessPolicies
	}
	if s.Network.DefaultAction != "" {
		m.Network.DefaultAction = s.Network.DefaultAction
	}
	for _, p := range s.Policies {
		m.Policies = append(m.Policies, modelOfPolicy(p))
	}
	return m
}

// What decides in a vault.
const (
	accessRoles    = "roles"
	accessPolicies = "policies"
)

func (a *door) vaultOperations() {
	const tag = "vaults"
	one := operation{action: vault.Write, scope: "/vaults/{vault}"}
	register(a, tag, operation{id: "listVaults", method: http.MethodGet, path: "/vaults", summary: "List vaults",
		action: vault.Read, scope: "/"}, a.listVaults)
	register(a, tag, operation{id: "getVault", method: http.MethodGet, path: "/vaults/{vault}", summary: "Get a vault",
		action: vault.Read, scope: "/vaults/{vault}"}, a.getVault)
	create := one.as("createVault", http.MethodPut, "/vaults/{vault}", "Create a vault").answering(http.StatusCreated)
	create.about = "Who makes a vault that access policies decide in needs Chatelaine/access/write there as well."
	register(a, tag, create, a.createVault)
	update := one.as("updateVault", http.MethodPatch, "/vaults/{vault}", "Change a vault")
	update.about = "What is not sent stays as it is. Who changes what decides in the vault needs Chatelaine/access/write there as well."
	register(a, tag, update, a.updateVault)
	register(a, tag, operation{id: "deleteVault", method: http.MethodDelete, path: "/vaults/{vault}", summary: "Delete a vault; until its retention ends it can be recovered",
		action: vault.Remove, scope: "/vaults/{vault}"}, a.deleteVault)
	a.deletedVaultOperations()
	a.vaultPolicyOperations()
}

func (a *door) listVaults(ctx context.Context, c access.Caller, in *Paging) (*page[vaultModel], error) {
	list, err := a.Vaults.List(ctx, c, in.After, in.Limit)
	return pageOfVaults(*in, list, err)
}

func pageOfVaults(p Paging, list []*object.Vault, err error) (*page[vaultModel], error) {
	if err != nil {
		return nil, err
	}
	items := make([]vaultModel, len(list))
	for i, v := range list {
		items[i] = modelOfVault(v)
	}
	return pageOf(items, p.nextOf(len(items), func(last int) string { return items[last].Name })), nil
}

// VaultPath names a vault.
type VaultPath struct {
	Vault string `path:"vault" maxLength:"24"`
}

func (a *door) getVault(ctx context.Context, c access.Caller, in *VaultPath) (*answer[vaultModel], error) {
	v, err := a.Vaults.Get(ctx, c, in.Vault)
	return answerOfVault(v, err)
}

func answerOfVault(v *object.Vault, err error) (*answer[vaultModel], error) {
	if err != nil {
		return nil, err
	}
	return &answer[vaultModel]{modelOfVault(v)}, nil
}

func (a *door) createVault(ctx context.Context, c access.Caller, in *struct {
	VaultPath
	Body *struct {
		Kind            string            `json:"kind,omitempty" enum:"vault,hsm" doc:"whoever makes an hsm is its Administrator; its roles are its own"`
		RetentionDays   int               `json:"retentionDays,omitempty" minimum:"7" maximum:"90" default:"90"`
		PurgeProtection bool              `json:"purgeProtection,omitempty"`
		Access          string            `json:"access,omitempty" enum:"roles,policies"`
		Tags            map[string]string `json:"tags,omitempty" maxProperties:"50"`
		Group           string            `json:"group,omitempty" maxLength:"90"`
		Location        string            `json:"location,omitempty" maxLength:"64"`
	}
}) (*answer[vaultModel], error) {
	var s object.Settings
	if b := in.Body; b != nil {
		s = object.Settings{
			RetentionDays: b.RetentionDays, PurgeProtection: b.PurgeProtection, PolicyMode: b.Access == accessPolicies,
			Tags: b.Tags, Group: b.Group, Location: b.Location,
		}
		if b.Kind == "hsm" {
			s.Kind = object.ManagedHSM
		}
	}
	v, err := a.Vaults.Create(ctx, c, in.Vault, s)
	return answerOfVault(v, err)
}

// vaultNetworkChange is what an update changes about the network rules.
type vaultNetworkChange struct {
	Private       *bool     `json:"private,omitempty"`
	DefaultAction *string   `json:"defaultAction,omitempty" enum:"Allow,Deny"`
	IPRules       *[]string `json:"ipRules,omitempty" maxItems:"1000" doc:"replaces all of them"`
	AddIPRules    []string  `json:"addIpRules,omitempty" maxItems:"1000"`
	RemoveIPRules []string  `json:"removeIpRules,omitempty" maxItems:"1000"`
}

func (a *door) updateVault(ctx context.Context, c access.Caller, in *struct {
	VaultPath
	Body struct {
		PurgeProtection *bool               `json:"purgeProtection,omitempty"`
		Access          string              `json:"access,omitempty" enum:"roles,policies"`
		Tags            map[string]string   `json:"tags,omitempty" maxProperties:"50" doc:"replaces all of them"`
		Network         *vaultNetworkChange `json:"network,omitempty"`
	}
}) (*answer[vaultModel], error) {
	ch := vault.Change{PurgeProtection: in.Body.PurgeProtection, Tags: in.Body.Tags}
	if in.Body.Access != "" {
		policies := in.Body.Access == accessPolicies
		ch.PolicyMode = &policies
	}
	if n := in.Body.Network; n != nil {
		ch.Network = &settings.NetworkChange{
			Private: n.Private, DefaultAction: n.DefaultAction, IPRules: n.IPRules, AddIPRules: n.AddIPRules, RemoveIPRules: n.RemoveIPRules,
		}
	}
	v, err := a.Vaults.Update(ctx, c, in.Vault, ch)
	return answerOfVault(v, err)
}

func (a *door) deleteVault(ctx context.Context, c access.Caller, in *VaultPath) (*answer[vaultModel], error) {
	v, err := a.Vaults.Delete(ctx, c, in.Vault)
	return answerOfVault(v, err)
}
