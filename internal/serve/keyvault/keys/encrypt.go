package keys

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/algorithm"
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
type operation func(ctx context.Context, c access.Caller, r object.Ref, in keys.Input) (keys.Result, error)

// operationResult is KeyOperationResult. IV, tag and additional data belong to AES keys.
type operationResult struct {
	ID    string     `json:"kid"`
	Value keys.Bytes `json:"value"`
	IV    keys.Bytes `json:"iv,omitempty"`
	Tag   keys.Bytes `json:"tag,omitempty"`
	AAD   keys.Bytes `json:"aad,omitempty"`
}

// AppendJSON implements wire.Appender.
func (x operationResult) AppendJSON(b []byte) []byte {
	f := wire.Fields(append(b, '{'))
	f.Value("kid", x.ID)
	f.Bytes("value", x.Value)
	for _, m := range [...]struct {
		name  string
		value []byte
	}{{"iv", x.IV}, {"tag", x.Tag}, {"aad", x.AAD}} {
		if len(m.value) > 0 {
			f.Bytes(m.name, m.value)
		}
	}
	f.End()
	return f
}

// operate decodes KeyOperationsParameters, runs an operation and encodes its result.
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
	r, err := run(ctx, q.Caller, q.Ref(), keys.Input{
		Algorithm: in.Algorithm, Input: algorithm.Input{Value: *in.Value, IV: in.IV, AAD: in.AAD, Tag: in.Tag},
	})
	return result(q, r, err)
}

// result is a KeyOperationResult, or err.
func result(q *wire.Request, r keys.Result, err error) (wire.Response, error) {
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: operationResult{
		ID: q.ID(object.Keys, r.Entry.Head.Name, r.Entry.Version.ID), Value: r.Value, IV: r.IV, Tag: r.Tag, AAD: r.AAD,
	}}, nil
}
