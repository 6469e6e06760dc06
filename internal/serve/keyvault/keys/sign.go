package keys

import (
	"context"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
)

// sign is POST /keys/{name}/{version?}/sign: KeySignParameters, whose value is the digest,
// to KeyOperationResult.
func (d door) sign(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return operate(ctx, q, d.s.Sign)
}

// verifyResult is KeyVerifyResult.
type verifyResult struct {
	Value bool `json:"value"`
}

// verify is POST /keys/{name}/{version?}/verify: KeyVerifyParameters, whose value is the
// signature, to KeyVerifyResult.
func (d door) verify(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		Algorithm string      `json:"alg"`
		Digest    *keys.Bytes `json:"digest"`
		Signature *keys.Bytes `json:"value"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	if in.Algorithm == "" || in.Digest == nil || in.Signature == nil {
		return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The parameters alg, digest and value are required.")
	}
	ok, err := d.s.Verify(ctx, q.Caller, q.Ref(), in.Algorithm, *in.Digest, *in.Signature)
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: verifyResult{ok}}, nil
}
