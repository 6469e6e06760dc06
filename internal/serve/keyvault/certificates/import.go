package certificates

import (
	"context"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/policy"
)

// importCertificate is POST /certificates/{name}/import: CertificateImportParameters to
// CertificateBundle.
func (d door) importCertificate(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		Value         certificates.Encoded `json:"value"`
		Password      certificates.Encoded `json:"pwd"`
		Policy        *policy.Policy       `json:"policy"`
		Attributes    *wire.Attributes     `json:"attributes"`
		Tags          map[string]string    `json:"tags"`
		PreserveOrder bool                 `json:"preserveCertOrder"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	if in.Value == "" {
		return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The parameter value is required: PKCS#12 in base64, or PEM.")
	}
	c, err := d.s.Import(ctx, q.Caller, q.Ref(), certificates.ImportRequest{
		Value: in.Value, Password: in.Password, Policy: in.Policy,
		Attributes: in.Attributes.Set(in.Tags), PreserveOrder: in.PreserveOrder,
	})
	return answer(q, c, err)
}
