package hsm

import (
	"context"
	"encoding/json"
	"net/http"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/hsm/domain"
)

// securityDomain is SecurityDomainObject: its value is JSON as text.
type securityDomain struct {
	Value string `json:"value"`
}

// domainStatus is SecurityDomainOperationStatus. What was done was done at once.
type domainStatus struct {
	Status  string `json:"status"`
	Details string `json:"status_details"`
}

// downloadDomain is POST /securitydomain/download: 202 with the security domain.
func (d door) downloadDomain(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		Certificates []domain.JWK `json:"certificates"`
		Required     int          `json:"required"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	file, err := d.Domains.Download(ctx, q.Caller, q.Vault, in.Certificates, in.Required)
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{
		Status: http.StatusAccepted, Operation: pending(q, "securitydomain/download"), RetryAfter: pause, Body: securityDomain{string(file)},
	}, nil
}

// downloadDomainStatus is GET /securitydomain/download/pending.
func (d door) downloadDomainStatus(ctx context.Context, q *wire.Request) (wire.Response, error) {
	at, err := d.Domains.Downloaded(ctx, q.Caller, q.Vault)
	return wire.Response{Body: domainStatus{"Success", "The security domain was downloaded on " + at.Format("2006-01-02 15:04:05 MST") + "."}}, err
}

// transferKey is GET /securitydomain/upload. The key is JSON as text: az and the Python
// client parse it once more, although the TypeSpec has it as an object.
func (d door) transferKey(ctx context.Context, q *wire.Request) (wire.Response, error) {
	j, err := d.Domains.TransferKey(ctx, q.Caller, q.Vault)
	if err != nil {
		return wire.Response{}, err
	}
	j.KeyID = q.Base + "/" + j.KeyID
	key, err := json.Marshal(j)
	return wire.Response{Body: struct {
		Format string `json:"key_format"`
		Key    string `json:"transfer_key"`
	}{"jwk", string(key)}}, err
}

// uploadDomain is POST /securitydomain/upload: 202.
func (d door) uploadDomain(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in securityDomain
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	if err := d.Domains.Upload(ctx, q.Caller, q.Vault, []byte(in.Value)); err != nil {
		return wire.Response{}, err
	}
	return wire.Response{
		Status: http.StatusAccepted, Operation: pending(q, "securitydomain/upload"), RetryAfter: pause, Body: domainStatus{Status: "Success"},
	}, nil
}

// uploadDomainStatus is GET /securitydomain/upload/pending.
func (d door) uploadDomainStatus(ctx context.Context, q *wire.Request) (wire.Response, error) {
	at, err := d.Domains.Uploaded(ctx, q.Caller, q.Vault)
	return wire.Response{Body: domainStatus{"Success", "The security domain was uploaded on " + at.Format("2006-01-02 15:04:05 MST") + "."}}, err
}
