package vaults

import (
	"cmp"
	"time"
	"uuid"

	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/settings"
)

// model is a vault as clients read it.
type model struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	System     systemData        `json:"systemData"`
	Properties properties        `json:"properties"`
}

type systemData struct {
	Created time.Time `json:"createdAt"`
	Updated time.Time `json:"lastModifiedAt,omitzero"`
}

// properties are those of a vault, as they are written and read. A nil field was not sent.
type properties struct {
	TenantID           string    `json:"tenantId,omitempty"`
	SKU                *sku      `json:"sku,omitempty"`
	Policies           *[]policy `json:"accessPolicies,omitempty"`
	URI                string    `json:"vaultUri,omitempty"`
	Deployment         *bool     `json:"enabledForDeployment,omitempty"`
	DiskEncryption     *bool     `json:"enabledForDiskEncryption,omitempty"`
	TemplateDeployment *bool     `json:"enabledForTemplateDeployment,omitempty"`
	SoftDelete         *bool     `json:"enableSoftDelete,omitempty"`
	RetentionDays      *int      `json:"softDeleteRetentionInDays,omitempty"`
	RBAC               *bool     `json:"enableRbacAuthorization,omitempty"`
	PurgeProtection    *bool     `json:"enablePurgeProtection,omitempty"`
	Network            *network  `json:"networkAcls,omitempty"`
	Public             string    `json:"publicNetworkAccess,omitempty"`
	State              string    `json:"provisioningState,omitempty"`
	CreateMode         string    `json:"createMode,omitempty"`
}

type sku struct {
	Family string `json:"family"`
	Name   string `json:"name"`
}

type policy struct {
	TenantID      string      `json:"tenantId"`
	ObjectID      string      `json:"objectId"`
	ApplicationID string      `json:"applicationId,omitempty"`
	Permissions   permissions `json:"permissions"`
}

type permissions struct {
	Keys         []string `json:"keys"`
	Secrets      []string `json:"secrets"`
	Certificates []string `json:"certificates"`
	Storage      []string `json:"storage,omitempty"`
}

type network struct {
	Bypass        string           `json:"bypass,omitempty"`
	DefaultAction string           `json:"defaultAction,omitempty"`
	IPRules       []ipRule         `json:"ipRules"`
	Networks      []virtualNetwork `json:"virtualNetworkRules"`
}

type ipRule struct {
	Value string `json:"value"`
}

type virtualNetwork struct {
	ID            string `json:"id"`
	IgnoreMissing bool   `json:"ignoreMissingVnetServiceEndpoint,omitempty"`
}

// kindOf is a kind of vault with the type that its ids have.
type kindOf struct {
	kind settings.Kind
	typ  string
}

var (
	keyVault = kindOf{object.KeyVault, "vaults"}
	hsm      = kindOf{object.ManagedHSM, "managedHSMs"}
)

// address is the vault's own.
func address(q *wire.Request, name string) string {
	return "https://" + name + "." + q.Base[len("https://"):] + "/"
}

func modelOf(q *wire.Request, v *object.Vault) model {
	s := v.Settings()
	rbac, soft := !s.PolicyMode, true
	list := policiesOf(q, s.Policies)
	p := properties{
		TenantID: q.Tenant, SKU: &sku{"A", "standard"}, Policies: &list, URI: address(q, v.Name),
		Deployment: &s.Enabled.Deployment, DiskEncryption: &s.Enabled.DiskEncryption, TemplateDeployment: &s.Enabled.TemplateDeployment,
		SoftDelete: &soft, RetentionDays: &s.RetentionDays, RBAC: &rbac, Network: networkOf(s.Network), Public: "Enabled", State: "Succeeded",
	}
	if s.Premium {
		p.SKU.Name = "premium"
	}
	if s.PurgeProtection { // Azure has it true or not at all
		p.PurgeProtection = &s.PurgeProtection
	}
	if s.Network.Private {
		p.Public = "Disabled"
	}
	return model{
		ID: q.VaultID(vault.GroupOf(s), keyVault.typ, v.Name), Name: v.Name, Type: "Microsoft.KeyVault/vaults", Location: s.Where(), Tags: tagsOf(s),
		System: systemData{s.Created, s.Updated}, Properties: p,
	}
}

func tagsOf(s object.Settings) map[string]string {
	if s.Tags == nil {
		return map[string]string{}
	}
	return s.Tags
}

func policiesOf(q *wire.Request, list []settings.Policy) []policy {
	out := make([]policy, 0, len(list))
	for _, p := range list {
		out = append(out, policy{
			TenantID: cmp.Or(p.TenantID, q.Tenant), ObjectID: p.ObjectID, ApplicationID: p.ApplicationID,
			Permissions: permissions{
				Keys: append([]string{}, p.Permissions.Keys...), Secrets: append([]string{}, p.Permissions.Secrets...),
				Certificates: append([]string{}, p.Permissions.Certificates...), Storage: p.Permissions.Storage,
			},
		})
	}
	return out
}

// settingsOf are the policies as they are kept. The Azure CLI calls our tenant adfs; it is
// written as none.
func settingsOf(q *wire.Request, list []policy) []settings.Policy {
	out := make([]settings.Policy, 0, len(list))
	for _, p := range list {
		tenant := p.TenantID
		if _, err := uuid.Parse(tenant); err != nil || tenant == q.Tenant {
			tenant = ""
		}
		out = append(out, settings.Policy{TenantID: tenant, ObjectID: p.ObjectID, ApplicationID: p.ApplicationID, Permissions: settings.Permissions(p.Permissions)})
	}
	return out
}

func networkOf(n settings.Network) *network {
	out := &network{
		Bypass: cmp.Or(n.Bypass, "AzureServices"), DefaultAction: cmp.Or(n.DefaultAction, settings.AllowAction),
		IPRules: []ipRule{}, Networks: []virtualNetwork{},
	}
	for _, r := range n.IPRules {
		out.IPRules = append(out.IPRules, ipRule{r})
	}
	for _, v := range n.VirtualNetworkRules {
		out.Networks = append(out.Networks, virtualNetwork(v))
	}
	return out
}

// change is what the properties say of a vault that is there.
func (p properties) change(q *wire.Request, tags map[string]string) (vault.Change, error) {
	ch := vault.Change{
		Tags: tags, RetentionDays: p.RetentionDays, PurgeProtection: p.PurgeProtection,
		Deployment: p.Deployment, DiskEncryption: p.DiskEncryption, TemplateDeployment: p.TemplateDeployment,
	}
	if p.SoftDelete != nil && !*p.SoftDelete {
		return ch, wire.Unsupported("The property \"enableSoftDelete\" can be set to false only for creating new vault. Enabling the 'soft delete' functionality is an irreversible action.")
	}
	if p.RBAC != nil {
		mode := !*p.RBAC
		ch.PolicyMode = &mode
	}
	if p.Policies != nil {
		list := settingsOf(q, *p.Policies)
		ch.Policies = &list
	}
	if p.SKU != nil && p.SKU.Name != "" {
		premium, err := isPremium(p.SKU.Name)
		if err != nil {
			return ch, err
		}
		ch.Premium = &premium
	}
	var err error
	ch.Network, err = p.networkChange()
	return ch, err
}

func (p properties) networkChange() (*settings.NetworkChange, error) {
	ch := &settings.NetworkChange{}
	switch private := false; p.Public {
	case "":
	case "Disabled", "disabled":
		private = true
		ch.Private = &private
	case "Enabled", "enabled":
		ch.Private = &private
	default:
		return nil, wire.Unsupported("publicNetworkAccess must be Enabled or Disabled, not %.40q.", p.Public)
	}
	if n := p.Network; n != nil {
		rules, networks := []string{}, []settings.VirtualNetwork{}
		for _, r := range n.IPRules {
			rules = append(rules, r.Value)
		}
		for _, v := range n.Networks {
			networks = append(networks, settings.VirtualNetwork(v))
		}
		ch.Bypass, ch.DefaultAction, ch.IPRules, ch.VirtualNetworkRules = &n.Bypass, &n.DefaultAction, &rules, &networks
	}
	return ch, nil
}
