package certificates

import (
	"context"
	"encoding/base64"
	"net/http"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates"
)

// merge is POST /certificates/{name}/pending/merge: CertificateMergeParameters to 201
// with CertificateBundle and its address.
func (d door) merge(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		Certificates []string          `json:"x5c"` // DER in standard base64
		Attributes   *wire.Attributes  `json:"attributes"`
		Tags         map[string]string `json:"tags"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	merge := certificates.MergeRequest{Attributes: in.Attributes.Set(in.Tags)}
	for _, text := range in.Certificates {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The parameter x5c holds something that is not standard base64; send each certificate as base64 of its DER.")
		}
		merge.Certificates = append(merge.Certificates, der)
	}
	c, err := d.s.Merge(ctx, q.Caller, q.Ref(), merge)
	if err != nil {
		return wire.Response{}, err
	}
	b := describe(q, c)
	return wire.Response{Status: http.StatusCreated, Body: b, Location: b.ID}, nil
}
