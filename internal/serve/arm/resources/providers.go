package resources

import (
	"context"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault/settings"
)

type providerModel struct {
	ID    string         `json:"id"`
	Name  string         `json:"namespace"`
	State string         `json:"registrationState"`
	Types []resourceType `json:"resourceTypes"`
}

type resourceType struct {
	Type      string   `json:"resourceType"`
	Locations []string `json:"locations"`
	Versions  []string `json:"apiVersions"`
}

// all are the providers that there are, each registered for ever.
func all(q *wire.Request) []providerModel {
	provider := func(name string, version string, types ...string) providerModel {
		m := providerModel{ID: q.Root() + "/providers/" + name, Name: name, State: "Registered"}
		for _, t := range types {
			m.Types = append(m.Types, resourceType{Type: t, Locations: []string{settings.Place}, Versions: []string{version}})
		}
		return m
	}
	return []providerModel{
		provider("Microsoft.KeyVault", "2022-07-01", "vaults", "deletedVaults", "managedHSMs", "checkNameAvailability"),
		provider("Microsoft.Authorization", "2022-04-01", "roleAssignments", "roleDefinitions"),
		provider("Microsoft.Resources", "2021-04-01", "subscriptions", "resourceGroups", "resources"),
	}
}

func providers(_ context.Context, q *wire.Request) (wire.Response, error) {
	return wire.Response{Body: wire.List{Value: all(q)}}, nil
}

func provider(_ context.Context, q *wire.Request) (wire.Response, error) {
	for _, p := range all(q) {
		if strings.EqualFold(p.Name, q.Params["provider"]) {
			return wire.Response{Body: p}, nil
		}
	}
	return wire.Response{}, fault.New(fault.NotFound, "InvalidResourceNamespace", "The resource namespace '%.60s' is invalid: there is none of that name here.", q.Params["provider"])
}
