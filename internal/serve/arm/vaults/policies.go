package vaults

import (
	"context"
	"strings"

	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault"
	"chatelaine.dev/internal/vault/settings"
)

// policyList is the access policies of a vault, as a resource of its own.
type policyList struct {
	ID         string           `json:"id,omitempty"`
	Type       string           `json:"type,omitempty"`
	Location   string           `json:"location,omitempty"`
	Properties policyProperties `json:"properties"`
}

type policyProperties struct {
	Policies []policy `json:"accessPolicies"`
}

// operations are how policies are changed.
var operations = map[string]vault.PolicyOperation{"add": settings.Add, "replace": settings.Replace, "remove": settings.Remove}

func (d Deps) policies(ctx context.Context, q *wire.Request) (wire.Response, error) {
	op, ok := operations[strings.ToLower(q.Params["operation"])]
	if !ok {
		return wire.Response{}, wire.Unsupported("The operation must be add, replace or remove, not %.40q.", q.Params["operation"])
	}
	var r policyList
	if err := q.Decode(&r); err != nil {
		return wire.Response{}, err
	}
	if _, err := d.find(ctx, q, keyVault); err != nil {
		return wire.Response{}, err
	}
	v, err := d.Vaults.SetPolicies(ctx, q.Caller, q.Params["vault"], op, settingsOf(q, r.Properties.Policies))
	if err != nil {
		return wire.Response{}, err
	}
	s := v.Settings()
	return wire.Response{Body: policyList{
		ID: q.VaultID(vault.GroupOf(s), keyVault.typ, v.Name) + "/accessPolicies/", Type: "Microsoft.KeyVault/vaults/accessPolicies",
		Location: s.Where(), Properties: policyProperties{policiesOf(q, s.Policies)},
	}}, nil
}
