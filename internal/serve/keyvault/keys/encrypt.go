package keys

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
)

// encrypt is POST /keys/{name}/{version?}/encrypt: KeyOperationsParameters to
// KeyOperationResult.
func (d door) encrypt(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return operate(ctx, q, d.s.Encrypt)
}

// decrypt is POST /keys/{name}/{version?}/decrypt: KeyOperationsParameters to
// KeyOperationResult.
func (d door) decrypt(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return operate(ctx, q, d.s.Decrypt)
}

// operation is one of the service's that takes a value and gives another.
type operation func(ctx context.Context, c access.Caller, r object.Ref, algorithm string, value []byte) (keys.Result, error)

// operationResult is KeyOperationResult. IV, tag and additional data belong to AES keys.
type operationResult struct {
	ID    string     `json:"kid"`
	Value keys.Bytes `json:"value"`
}

// operate decodes KeyOperationsParameters or KeySignParameters, runs an operation and
// encodes its result.
func operate(ctx context.Context, q *wire.Request, run operation) (wire.Response, error) {
	var in struct {
		Algorithm string      `json:"alg"`
		Value     *keys.Bytes `json:"value"`
		IV        keys.Bytes  `json:"iv"`
		AAD       keys.Bytes  `json:"aad"`
		Tag       keys.Bytes  `json:"tag"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	if in.Algorithm == "" || in.Value == nil {
		return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The parameters alg and value are required.")
	}
	if len(in.IV)+len(in.AAD)+len(in.Tag) > 0 {
		// To ignore them would let a client believe that its aad is authenticated.
		return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The parameters iv, aad and tag belong to AES keys; leave them out for RSA and EC.")
	}
	r, err := run(ctx, q.Caller, q.Ref(), in.Algorithm, *in.Value)
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: operationResult{ID: q.ID(object.Keys, r.Entry.Head.Name, r.Entry.Version.ID), Value: r.Value}}, nil
}
