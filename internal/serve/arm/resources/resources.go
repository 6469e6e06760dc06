// Package resources is what clients ask of a resource manager before they come to a vault:
// where it is, which subscription, which groups, which resources.
package resources

import (
	"net/http"

	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault"
)

// Deps are the services behind the operations.
type Deps struct {
	Vaults *vault.Service
}

// Operations are the routes.
func Operations(d Deps) []wire.Operation {
	return []wire.Operation{
		{Name: "Metadata", Method: http.MethodGet, Path: "/metadata/endpoints", Open: true, Handle: metadata},
		{Name: "TenantList", Method: http.MethodGet, Path: "/tenants", Handle: tenants},
		{Name: "SubscriptionList", Method: http.MethodGet, Path: "/subscriptions", Handle: subscriptions},
		{Name: "SubscriptionGet", Method: http.MethodGet, Path: "/subscriptions/{subscription}", Handle: subscription},
		{Name: "LocationList", Method: http.MethodGet, Path: "/subscriptions/{subscription}/locations", Handle: locations},
		{Name: "ProviderList", Method: http.MethodGet, Path: "/subscriptions/{subscription}/providers", Handle: providers},
		{Name: "ProviderGet", Method: http.MethodGet, Path: "/subscriptions/{subscription}/providers/{provider}", Handle: provider},
		{Name: "ProviderRegister", Method: http.MethodPost, Path: "/subscriptions/{subscription}/providers/{provider}/register", Handle: provider},
		{Name: "GroupList", Method: http.MethodGet, Path: "/subscriptions/{subscription}/resourceGroups", Handle: d.groups},
		{Name: "GroupGet", Method: http.MethodGet, Path: "/subscriptions/{subscription}/resourceGroups/{group}", Handle: d.group},
		{Name: "GroupPut", Method: http.MethodPut, Path: "/subscriptions/{subscription}/resourceGroups/{group}", Handle: d.group},
		{Name: "ResourceList", Method: http.MethodGet, Path: "/subscriptions/{subscription}/resources", Handle: d.resources},
		{Name: "GroupResourceList", Method: http.MethodGet, Path: "/subscriptions/{subscription}/resourceGroups/{group}/resources", Handle: d.resources},
	}
}
