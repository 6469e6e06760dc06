package resources

import (
	"context"
	"strings"

	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/object"
)

// resourceModel is a vault as a list of resources of all types has it.
type resourceModel struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	Location string            `json:"location"`
	Tags     map[string]string `json:"tags"`
}

// Types of resources, as they stand in ids.
const (
	vaultType = "vaults"
	hsmType   = "managedHSMs"
)

func (d Deps) resources(ctx context.Context, q *wire.Request) (wire.Response, error) {
	page, err := q.Page()
	if err != nil {
		return wire.Response{}, err
	}
	filter, err := q.Filter("resourcetype", "name", "resourcegroup")
	if err != nil {
		return wire.Response{}, err
	}
	find := vault.Query{Group: q.Params["group"], Name: filter["name"], After: page.After, Limit: page.Limit}
	if g := filter["resourcegroup"]; g != "" && find.Group == "" {
		find.Group = g
	}
	switch kind := object.KeyVault; strings.ToLower(filter["resourcetype"]) {
	case "":
	case "microsoft.keyvault/managedhsms":
		kind = object.ManagedHSM
		find.Kind = &kind
	case "microsoft.keyvault/vaults":
		find.Kind = &kind
	default:
		return wire.Response{Body: wire.List{Value: []resourceModel{}}}, nil // there are none of this type
	}
	found, err := d.Vaults.Find(ctx, q.Caller, find)
	if err != nil {
		return wire.Response{}, err
	}
	list := make([]resourceModel, 0, len(found))
	for _, v := range found {
		s, typ := v.Settings(), vaultType
		if s.Kind == object.ManagedHSM {
			typ = hsmType
		}
		m := resourceModel{ID: q.VaultID(vault.GroupOf(s), typ, v.Name), Name: v.Name, Type: "Microsoft.KeyVault/" + typ, Location: s.Where(), Tags: s.Tags}
		if m.Tags == nil {
			m.Tags = map[string]string{}
		}
		list = append(list, m)
	}
	out := wire.List{Value: list}
	if len(found) == page.Limit {
		path := q.Root()
		if g := q.Params["group"]; g != "" {
			path += "/resourceGroups/" + g
		}
		out.NextLink = q.Next(path+"/resources", found[len(found)-1].Name)
	}
	return wire.Response{Body: out}, nil
}
