package app

import (
	"chatelaine.dev/internal/audit/azure"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/connectors"
	"chatelaine.dev/internal/serve/api"
)

// apiDeps are the services behind the REST API.
func (a *App) apiDeps() (api.Deps, error) {
	known, err := connectorSchemas(connectors.All())
	if err != nil {
		return api.Deps{}, err
	}
	return api.Deps{
		Version: Version, Domain: a.cfg.Domain, Tokens: a.Tokens, Vaults: a.Vaults, Keys: a.Keys, Secrets: a.Secrets, Certificates: a.Certificates, Exports: a.Exports, Audit: a.Audit(), Subscriptions: a.Subscriptions, Places: a.places(),
		Authorities: a.Authorities, Issuance: a.Issuance, Profiles: a.Profiles, Reviews: a.Reviews, Revocation: a.Revocation, Directory: a.Directory, Sessions: a.sessions,
		Inventory: a.Inventory, Discovery: a.Discovery, Lineages: a.Lineages, Renewal: a.Renewal, Requests: a.Requests, Passcodes: a.Enrolment.Passcodes,
		Deployments: a.Deployments, Connections: a.Connections, Connectors: known, ACME: a.ACME.Service,
	}, nil
}

// connectorSchemas is what the API tells of the connectors, by their definitions.
func connectorSchemas(defs []connector.Definition) ([]api.Connector, error) {
	var known []api.Connector
	for _, d := range defs {
		c := api.Connector{Name: d.Name, Title: d.Title, Readme: d.Readme}
		for _, k := range d.Kinds() {
			c.Kinds = append(c.Kinds, string(k))
		}
		settings, err := connector.SchemaOf(d.Config)
		if err != nil {
			return nil, err
		}
		c.Settings = settings.JSON()
		if d.Place != nil {
			place, err := connector.SchemaOf(d.Place)
			if err != nil {
				return nil, err
			}
			c.Place = place.JSON()
		}
		known = append(known, c)
	}
	return known, nil
}

// places are the addresses in exported audit records: those of the routes that are served.
func (a *App) places() azure.Places {
	routes := map[string]string{}
	for _, op := range a.KeyVaultOperations() {
		routes[op.Name] = op.Path
	}
	return azure.Places{Vault: a.address, Resource: a.resourceID, Routes: routes}
}
