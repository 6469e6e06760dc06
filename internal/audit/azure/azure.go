// Package azure shows records of the trail in the shape of Azure's AuditEvent (contract
// §3), which security tools know how to read. What the trail does not record, such as
// the duration of a request, is left out.
package azure

import (
	"net/url"
	"strings"

	"chatelaine.dev/internal/audit"
)

// Event is one AuditEvent.
type Event struct {
	Time              string     `json:"time"` // RFC 3339 in UTC, with seven digits of a second
	ResourceID        string     `json:"resourceId"`
	OperationName     string     `json:"operationName"`
	OperationVersion  string     `json:"operationVersion,omitempty" doc:"api-version of the request"`
	Category          string     `json:"category"` // AuditEvent
	ResultType        string     `json:"resultType" doc:"Success or Failure"`
	ResultSignature   string     `json:"resultSignature,omitempty" doc:"HTTP status in words"`
	ResultDescription string     `json:"resultDescription,omitempty" doc:"code of the error"`
	CallerIPAddress   string     `json:"callerIpAddress,omitempty"`
	CorrelationID     string     `json:"correlationId,omitempty"`
	Identity          Identity   `json:"identity"`
	Properties        Properties `json:"properties"`
}

// Identity is who asked.
type Identity struct {
	Claim Claim `json:"claim"`
}

// Claim are claims of the token that was shown.
type Claim struct {
	ObjectID string `json:"http://schemas.microsoft.com/identity/claims/objectidentifier,omitempty"`
	UPN      string `json:"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn,omitempty"`
	AppID    string `json:"appid,omitempty"`
}

// Properties is what else is known.
type Properties struct {
	ClientInfo     string `json:"clientInfo,omitempty" doc:"User-Agent"`
	RequestURI     string `json:"requestUri,omitempty" doc:"address of the operation in its canonical form"`
	ID             string `json:"id,omitempty" doc:"address of the object"`
	HTTPStatusCode int    `json:"httpStatusCode,omitempty"`
	Algorithm      string `json:"algorithm,omitempty"`
	Sequence       int64  `json:"sequence" doc:"of the record in the trail"`
	Target         string `json:"target" doc:"path of the record's target"`
	Name           string `json:"name,omitempty" doc:"of the principal at that time"`

	// Details are those of the record that have no place above.
	Details map[audit.Field]string `json:"details,omitempty"`
}

// Places tells the addresses of vaults and what is in them.
type Places struct {
	Vault    func(name string) string // https://host[:port]
	Resource func(name string) string // /subscriptions/…/vaults/name; for "" the group that all are in
	// Routes are the paths of operations below their vault, such as
	// /secrets/{name}/{version?} for SecretGet.
	Routes map[string]string
}

// category is the one value that Azure has for it.
const category = "AuditEvent"

// Event is a record as an AuditEvent.
func (p Places) Event(r audit.Record) Event {
	vault, kind, name := split(r.Target)
	e := Event{
		Time: r.Time.UTC().Format("2006-01-02T15:04:05.0000000Z"), ResourceID: strings.ToUpper(p.Resource(vault)),
		OperationName: r.Operation, OperationVersion: r.Details[audit.APIVersion], Category: category,
		ResultType: "Success", ResultDescription: r.Details[audit.Reason], CallerIPAddress: r.Address, CorrelationID: r.Correlation,
		Properties: Properties{
			ClientInfo: r.Agent, Algorithm: r.Details[audit.Algorithm], Sequence: r.Sequence, Target: r.Target, Name: r.Name,
		},
	}
	if r.Outcome != audit.Success {
		e.ResultType = "Failure"
	}
	asked := r.Principal != "system" // somebody sent a request
	if asked && r.Principal != "anonymous" {
		e.Identity.Claim = Claim{ObjectID: r.Principal, AppID: r.Application}
		if strings.Contains(r.Name, "@") {
			e.Identity.Claim.UPN = r.Name
		}
	}
	if asked && (vault != "" || r.Operation == authentication) {
		e.Properties.HTTPStatusCode = status(r)
		e.ResultSignature = words(e.Properties.HTTPStatusCode)
	}
	if vault != "" {
		e.Properties.ID = p.Vault(vault)
		if name != "" {
			e.Properties.ID += "/" + kind + "/" + name
			if v := r.Details[audit.Version]; v != "" {
				e.Properties.ID += "/" + v
			}
		}
		if path, ok := p.path(r.Operation, kind, name, r.Details[audit.Version]); ok && asked {
			e.Properties.RequestURI = p.Vault(vault) + path
			if v := r.Details[audit.APIVersion]; v != "" {
				e.Properties.RequestURI += "?" + url.Values{"api-version": {v}}.Encode()
			}
		}
	}
	for f, v := range r.Details {
		if f == audit.APIVersion || f == audit.Reason || f == audit.Algorithm || f == audit.Version {
			continue
		}
		if e.Properties.Details == nil {
			e.Properties.Details = map[audit.Field]string{}
		}
		e.Properties.Details[f] = v
	}
	return e
}

// split reads /vaults/{vault}/{kind}/{name}.
func split(target string) (vault, kind, name string) {
	rest, ok := strings.CutPrefix(target, "/vaults/")
	if !ok {
		return "", "", ""
	}
	vault, rest, _ = strings.Cut(rest, "/")
	kind, name, _ = strings.Cut(rest, "/")
	if strings.Contains(name, "/") {
		kind, name = "", ""
	}
	return vault, kind, name
}
