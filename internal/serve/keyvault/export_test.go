package keyvault

import "chatelaine.dev/internal/serve/keyvault/wire"

// Find is the name of the operation that a request reaches, or "".
func Find(operations []wire.Operation, method, path string) string {
	op, _, _, _ := newRoutes(operations).find(method, path)
	return op.Name
}
