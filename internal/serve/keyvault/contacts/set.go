package contacts

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// set is PUT /certificates/contacts: Contacts, which replace all others.
func (d door) set(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in bundle
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	err := d.s.Set(ctx, q.Caller, q.Vault, in.Contacts)
	return answer(q, in.Contacts, err)
}
