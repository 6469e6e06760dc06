package resources

import (
	"context"

	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault/settings"
)

type tenantModel struct {
	ID          string `json:"id"`
	TenantID    string `json:"tenantId"`
	DisplayName string `json:"displayName"`
}

func tenants(_ context.Context, q *wire.Request) (wire.Response, error) {
	return wire.Response{Body: wire.List{Value: []tenantModel{{ID: "/tenants/" + q.Tenant, TenantID: q.Tenant, DisplayName: "Chatelaine " + q.Domain}}}}, nil
}

type subscriptionModel struct {
	ID             string   `json:"id"`
	SubscriptionID string   `json:"subscriptionId"`
	TenantID       string   `json:"tenantId"`
	DisplayName    string   `json:"displayName"`
	State          string   `json:"state"`
	Policies       policies `json:"subscriptionPolicies"`
	Authorization  string   `json:"authorizationSource"`
}

type policies struct {
	Placement     string `json:"locationPlacementId"`
	Quota         string `json:"quotaId"`
	SpendingLimit string `json:"spendingLimit"`
}

// one is the subscription that an installation is. Everybody who has a token may know it:
// it says no more than the address of the server.
func one(q *wire.Request) subscriptionModel {
	return subscriptionModel{
		ID: q.Root(), SubscriptionID: q.Subscription, TenantID: q.Tenant, DisplayName: "Chatelaine " + q.Domain, State: "Enabled",
		Policies: policies{Placement: settings.Place, Quota: "None", SpendingLimit: "Off"}, Authorization: "RoleBased",
	}
}

func subscriptions(_ context.Context, q *wire.Request) (wire.Response, error) {
	return wire.Response{Body: wire.List{Value: []subscriptionModel{one(q)}}}, nil
}

func subscription(_ context.Context, q *wire.Request) (wire.Response, error) {
	return wire.Response{Body: one(q)}, nil
}

type locationModel struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	DisplayName string `json:"displayName"`
}

func locations(_ context.Context, q *wire.Request) (wire.Response, error) {
	return wire.Response{Body: wire.List{Value: []locationModel{{ID: q.Root() + "/locations/" + settings.Place, Name: settings.Place, DisplayName: settings.Place}}}}, nil
}
