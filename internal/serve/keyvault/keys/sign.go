package keys

import (
	"context"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/keys"
)

// sign is POST /keys/{name}/{version?}/sign: KeySignParameters, whose value is the digest,
// to KeyOperationResult. AKP keys need no alg.
func (d door) sign(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		Algorithm string      `json:"alg"`
		Value     *keys.Bytes `json:"value"`
		Context   keys.Bytes  `json:"context"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	if in.Value == nil {
		return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The parameters alg and value are required.")
	}
	r, err := d.s.Sign(ctx, q.Caller, q.Ref(), keys.Input{
		Algorithm: in.Algorithm, Input: algorithm.Input{Value: *in.Value, Context: in.Context},
	})
	return result(q, r, err)
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
		Context   keys.Bytes  `json:"context"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	if in.Digest == nil || in.Signature == nil {
		return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The parameters alg, digest and value are required.")
	}
	ok, err := d.s.Verify(ctx, q.Caller, q.Ref(), keys.Input{
		Algorithm: in.Algorithm, Input: algorithm.Input{Value: *in.Digest, Context: in.Context},
	}, *in.Signature)
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: verifyResult{ok}}, nil
}
