package issuers

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// item is CertificateIssuerItem.
type item struct {
	ID       string `json:"id"`
	Provider string `json:"provider"`
}

// list is GET /certificates/issuers: a page of CertificateIssuerItem.
func (d door) list(ctx context.Context, q *wire.Request) (wire.Response, error) {
	p, err := q.Page()
	if err != nil {
		return wire.Response{}, err
	}
	list, next, err := d.s.List(ctx, q.Caller, q.Vault, p)
	if err != nil {
		return wire.Response{}, err
	}
	out := wire.List[item]{Value: make([]item, 0, len(list))}
	for _, i := range list {
		out.Value = append(out.Value, item{ID: address(q, i.Name), Provider: i.Provider})
	}
	out.NextLink, err = q.Next("/certificates/issuers", next)
	return wire.Response{Body: out}, err
}
