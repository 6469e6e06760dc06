package contacts

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// delete is DELETE /certificates/contacts: Contacts as they were.
func (d door) delete(ctx context.Context, q *wire.Request) (wire.Response, error) {
	list, err := d.s.Delete(ctx, q.Caller, q.Vault)
	return answer(q, list, err)
}
