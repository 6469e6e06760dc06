package api

import (
	"context"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/inventory"
)

func (a *door) endpointOperations() {
	const tag = "endpoints"
	register(a, tag, operation{id: "listEndpoints", method: http.MethodGet, path: "/endpoints", summary: "List places with the latest certificate known there",
		action: "Chatelaine/endpoints/read", scope: "/"}, a.listEndpoints)
	register(a, tag, operation{id: "recordObservations", method: http.MethodPost, path: "/observations", summary: "Record what was seen at TLS services",
		about:  "For scanners that run elsewhere. The same observations again change nothing.",
		action: inventory.Write, scope: "/", body: 3 << 20}, a.recordObservations)
}

func (a *door) listEndpoints(ctx context.Context, c access.Caller, in *struct {
	Paging
	Source string `query:"source" maxLength:"100" doc:"network, or the id of a connection; default: all"`
}) (*page[inventory.Installation], error) {
	list, err := a.Inventory.Endpoints(ctx, c, inventory.EndpointQuery{Source: in.Source, After: in.After, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(list, in.nextOf(len(list), func(last int) string { return list[last].ID })), nil
}

// observationModel is one look at one TLS service.
type observationModel struct {
	Host    string         `json:"host,omitempty" maxLength:"255" doc:"name that was asked for; empty when only an address was"`
	IP      string         `json:"ip,omitempty" format:"ip"`
	Port    int            `json:"port" minimum:"1" maximum:"65535"`
	SNI     string         `json:"sni,omitempty" maxLength:"255"`
	State   string         `json:"state" enum:"present,missing,unreachable"`
	Chain   [][]byte       `json:"chain,omitempty" maxItems:"33" doc:"DER, base64; the service's certificate first"`
	At      time.Time      `json:"at,omitzero" doc:"default: now"`
	TLS     *inventory.TLS `json:"tls,omitempty"`
	Problem string         `json:"problem,omitempty" maxLength:"1000"`
}

func (m observationModel) observation() inventory.Observation {
	o := inventory.Observation{
		Place: inventory.Place{Source: inventory.Network, Host: m.Host, IP: m.IP, Port: m.Port, SNI: m.SNI},
		State: inventory.State(m.State), At: m.At, TLS: m.TLS, Problem: m.Problem,
	}
	if len(m.Chain) > 0 {
		o.DER, o.Chain = m.Chain[0], m.Chain[1:]
	}
	return o
}

// recorded is what a record of observations did.
type recorded struct {
	Certificates int `json:"certificates" doc:"that were seen, chains included"`
	New          int `json:"new" doc:"of them, never seen before"`
	Changed      int `json:"changed" doc:"places whose state or certificate changed"`
}

func (a *door) recordObservations(ctx context.Context, c access.Caller, in *struct {
	Body struct {
		Observations []observationModel `json:"observations" minItems:"1" maxItems:"1000"`
	}
}) (*answer[recorded], error) {
	observations := make([]inventory.Observation, len(in.Body.Observations))
	for i, m := range in.Body.Observations {
		observations[i] = m.observation()
	}
	done, err := a.Inventory.Record(ctx, c, observations)
	return answerOf(recorded(done), err)
}
