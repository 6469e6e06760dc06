package app

import (
	"slices"

	"chatelaine.dev/internal/serve/arm"
	"chatelaine.dev/internal/serve/arm/authorization"
	"chatelaine.dev/internal/serve/arm/graph"
	"chatelaine.dev/internal/serve/arm/resources"
	"chatelaine.dev/internal/serve/arm/vaults"
	armWire "chatelaine.dev/internal/serve/arm/wire"
)

// ResourceManagerOperations are the routes of the resource manager's front door.
func (a *App) ResourceManagerOperations() []armWire.Operation {
	return slices.Concat(
		resources.Operations(resources.Deps{Vaults: a.Vaults}), vaults.Operations(vaults.Deps{Vaults: a.Vaults}),
		authorization.Operations(authorization.Deps{Directory: a.Directory, Vaults: a.Vaults}), graph.Operations(graph.Deps{Directory: a.Directory}),
	)
}

func (a *App) resourceManager() *arm.Door {
	return arm.New(arm.Deps{Domain: a.cfg.Domain, Tokens: a.Tokens, Tenant: a.Directory.Tenant, Operations: a.ResourceManagerOperations()})
}
