package certificates

import (
	"context"
	"net/http"
	"net/url"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/object"
)

// create is POST /certificates/{name}/create: CertificateCreateParameters to 202 with
// CertificateOperation and the address to poll.
func (d door) create(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		Policy        *policy.Policy    `json:"policy"`
		Attributes    *wire.Attributes  `json:"attributes"`
		Tags          map[string]string `json:"tags"`
		PreserveOrder bool              `json:"preserveCertOrder"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	op, err := d.s.Create(ctx, q.Caller, q.Ref(), certificates.CreateRequest{
		Policy: in.Policy, Attributes: in.Attributes.Set(in.Tags), PreserveOrder: in.PreserveOrder,
	})
	res, err := answerOperation(q, op, err)
	if err != nil {
		return wire.Response{}, err
	}
	poll := url.Values{"api-version": {q.Query.Get("api-version")}, "request_id": {op.RequestID}}
	res.Status, res.Location = http.StatusAccepted, q.ID(object.Certificates, q.Name, "pending")+"?"+poll.Encode()
	return res, nil
}
