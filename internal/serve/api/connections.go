package api

import (
	"context"
	"encoding/json"
	"net/http"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/connection"
)

// Connector is a kind of system that connections can be made to.
type Connector struct {
	Name     string         `json:"name"`
	Title    string         `json:"title"`
	Readme   string         `json:"readme" doc:"Markdown"`
	Kinds    []string       `json:"kinds" doc:"source, target, issuer, key service, notifier or trail"`
	Settings map[string]any `json:"settings" doc:"JSON Schema of a connection's settings; secrets are writeOnly"`
	Place    map[string]any `json:"place,omitempty" doc:"JSON Schema of a place, for targets"`
}

func (a *door) connectionOperations() {
	const tag = "connections"
	register(a, tag, operation{id: "listConnectors", method: http.MethodGet, path: "/connectors", summary: "List the connectors of this program, with the schemas of their settings",
		about: "They are no secret: every caller may read them."}, a.listConnectors)
	register(a, tag, operation{id: "listConnections", method: http.MethodGet, path: "/connections", summary: "List connections, by name, without their secrets",
		action: connection.Read, scope: "/"}, a.listConnections)
	register(a, tag, operation{id: "createConnection", method: http.MethodPost, path: "/connections", summary: "Make a connection",
		action: connection.Write, scope: "/", status: http.StatusCreated}, a.createConnection)
	register(a, tag, operation{id: "getConnection", method: http.MethodGet, path: "/connections/{connection}", summary: "Get a connection without its secrets",
		action: connection.Read, scope: "/connections/{connection}"}, a.getConnection)
	register(a, tag, operation{id: "updateConnection", method: http.MethodPut, path: "/connections/{connection}", summary: "Change a connection",
		about:  "A secret that is not sent stays, unless the place that it is sent to changes.",
		action: connection.Write, scope: "/connections/{connection}"}, a.updateConnection)
	register(a, tag, operation{id: "deleteConnection", method: http.MethodDelete, path: "/connections/{connection}", summary: "Delete a connection that no lineage uses",
		action: connection.Delete, scope: "/connections/{connection}", status: http.StatusNoContent}, a.deleteConnection)
	register(a, tag, operation{id: "testConnection", method: http.MethodPost, path: "/connections/{connection}/test", summary: "Try a connection; problem says what the other side answered",
		action: connection.Run, scope: "/connections/{connection}"}, a.testConnection)
}

func (a *door) listConnectors(_ context.Context, _ access.Caller, in *Paging) (*page[Connector], error) {
	return cut(*in, a.Connectors, func(k Connector) string { return k.Name }), nil
}

func (a *door) listConnections(ctx context.Context, c access.Caller, in *Paging) (*page[connection.Connection], error) {
	list, err := a.Connections.List(ctx, c, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return pageOf(list, in.nextOf(len(list), func(last int) string { return list[last].Name })), nil
}

// connectionDraft is a connection to be made or changed. Its settings may hold secrets.
type connectionDraft struct {
	Name      string          `json:"name" maxLength:"64"`
	Connector string          `json:"connector,omitempty" maxLength:"40" doc:"needed for a new connection; it never changes"`
	Settings  json.RawMessage `json:"settings" doc:"a JSON object by the schema of the connector"`
}

func (d connectionDraft) draft() connection.Draft {
	return connection.Draft{Name: d.Name, Connector: d.Connector, Settings: []byte(d.Settings)}
}

func (a *door) createConnection(ctx context.Context, c access.Caller, in *struct{ Body connectionDraft }) (*answer[connection.Connection], error) {
	return answerOf(a.Connections.Create(ctx, c, in.Body.draft()))
}

// ConnectionPath names a connection.
type ConnectionPath struct {
	Connection string `path:"connection" maxLength:"100" doc:"id"`
}

func (a *door) getConnection(ctx context.Context, c access.Caller, in *ConnectionPath) (*answer[connection.Connection], error) {
	return answerOf(a.Connections.Get(ctx, c, in.Connection))
}

func (a *door) updateConnection(ctx context.Context, c access.Caller, in *struct {
	ConnectionPath
	Body connectionDraft
}) (*answer[connection.Connection], error) {
	return answerOf(a.Connections.Update(ctx, c, in.Connection, in.Body.draft()))
}

func (a *door) deleteConnection(ctx context.Context, c access.Caller, in *ConnectionPath) (*nothing, error) {
	return nil, a.Connections.Delete(ctx, c, in.Connection)
}

func (a *door) testConnection(ctx context.Context, c access.Caller, in *ConnectionPath) (*answer[connection.Connection], error) {
	return answerOf(a.Connections.Test(ctx, c, in.Connection))
}
