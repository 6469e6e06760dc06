package api

import (
	"context"
	"net/http"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/deployment"
)

func (a *door) deploymentOperations() {
	const tag = "deployments"
	register(a, tag, operation{id: "listDeployments", method: http.MethodGet, path: "/deployments", summary: "List deployments, newest first",
		about:  "With the parameter lineage the scope is that lineage.",
		action: deployment.Read, scope: "/"}, a.listDeployments)
	register(a, tag, operation{id: "getDeployment", method: http.MethodGet, path: "/deployments/{deployment}", summary: "Get a deployment, and how far it has come",
		action: deployment.Read, scope: "/lineages/{lineage}"}, a.getDeployment)
}

func (a *door) listDeployments(ctx context.Context, c access.Caller, in *struct {
	Paging
	Lineage string `query:"lineage" maxLength:"100" doc:"id"`
	Request string `query:"request" maxLength:"100" doc:"id"`
	State   string `query:"state" enum:"running,rollingBack,completed,failed,stuck"`
}) (*page[deployment.Deployment], error) {
	list, err := a.Deployments.List(ctx, c, deployment.Query{
		Lineage: in.Lineage, Request: in.Request, State: deployment.State(in.State), After: in.After, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	return pageOf(list, in.nextOf(len(list), func(last int) string { return list[last].ID })), nil
}

func (a *door) getDeployment(ctx context.Context, c access.Caller, in *struct {
	Deployment string `path:"deployment" maxLength:"100" doc:"id"`
}) (*answer[deployment.Deployment], error) {
	return answerOf(a.Deployments.Get(ctx, c, in.Deployment))
}
