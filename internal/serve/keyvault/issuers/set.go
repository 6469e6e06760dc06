package issuers

import (
	"context"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
)

// set is PUT /certificates/issuers/{name}: CertificateIssuerSetParameters to IssuerBundle.
func (d door) set(ctx context.Context, q *wire.Request) (wire.Response, error) {
	in, err := request(q)
	if err != nil {
		return wire.Response{}, err
	}
	if in.Provider == "" {
		return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The parameter provider is required.")
	}
	i, err := d.s.Set(ctx, q.Caller, q.Ref(), in)
	return answer(q, i, err)
}
