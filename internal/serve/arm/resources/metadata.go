package resources

import (
	"context"
	"strings"

	"chatelaine.dev/internal/serve/arm/wire"
)

// authentication is where clients get tokens for this resource manager, and for what.
type authentication struct {
	LoginEndpoint    string   `json:"loginEndpoint"`
	Audiences        []string `json:"audiences"`
	Tenant           string   `json:"tenant,omitempty"`
	IdentityProvider string   `json:"identityProvider,omitempty"`
}

// cloud describes this installation as Azure describes its clouds, from api-version
// 2018-05-01 on.
type cloud struct {
	Name            string            `json:"name"`
	Portal          string            `json:"portal"`
	Authentication  authentication    `json:"authentication"`
	Graph           string            `json:"graph"`
	GraphAudience   string            `json:"graphAudience"`
	MicrosoftGraph  string            `json:"microsoftGraphResourceId"`
	ResourceManager string            `json:"resourceManager"`
	Suffixes        map[string]string `json:"suffixes"`
}

// firstCloud is the same for api-version 2015-01-01, which the Azure CLI asks when a
// cloud is registered.
type firstCloud struct {
	Gallery        string         `json:"galleryEndpoint"`
	Graph          string         `json:"graphEndpoint"`
	Portal         string         `json:"portalEndpoint"`
	Authentication authentication `json:"authentication"`
}

// metadata answers in the shape of the api-version: one object at first, a list of clouds
// for some years, and one object again from 2022-09-01 on, which Terraform asks. The two
// older ones are the Azure CLI's; AD FS is the one kind of login for which it does not ask
// Microsoft's own host first.
func metadata(_ context.Context, q *wire.Request) (wire.Response, error) {
	version := q.Query.Get("api-version")
	login := authentication{LoginEndpoint: q.Base + "/adfs", Audiences: []string{q.Base}, Tenant: "adfs", IdentityProvider: "ADFS"}
	if version < "2018" {
		return wire.Response{Body: firstCloud{Gallery: q.Base, Graph: q.Base, Portal: q.Base, Authentication: login}}, nil
	}
	host := strings.TrimPrefix(q.Base, "https://")
	c := cloud{
		Name: "Chatelaine", Portal: q.Base, Graph: q.Base, GraphAudience: q.Base, MicrosoftGraph: q.Base, ResourceManager: q.Base,
		Authentication: login, Suffixes: map[string]string{"keyVaultDns": host, "mhsmDns": host},
	}
	if version < "2022-09" {
		return wire.Response{Body: []cloud{c}}, nil
	}
	c.Authentication = authentication{LoginEndpoint: q.Base, Audiences: []string{q.Base}, Tenant: q.Tenant, IdentityProvider: "AAD"}
	return wire.Response{Body: c}, nil
}
