package contacts

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// get is GET /certificates/contacts: Contacts.
func (d door) get(ctx context.Context, q *wire.Request) (wire.Response, error) {
	list, err := d.s.Get(ctx, q.Caller, q.Vault)
	return answer(q, list, err)
}
