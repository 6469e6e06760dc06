package keys

import (
	"context"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/algorithm"
	"chatelaine.dev/internal/vault/keys"
)

// message are the parameters of an AKP key that sign and verify have besides alg. Mu is a
// pointer, because an empty one is a mistake and none is not.
type message struct {
	Context keys.Bytes  `json:"context"`
	Mu      *keys.Bytes `json:"external_mu"`
}

// input is what is signed: value, or the external mu in its stead. Whether alg may be left
// out is the key's to say.
func (m message) input(alg string, value *keys.Bytes) (keys.Input, error) {
	in := keys.Input{Algorithm: alg, Input: algorithm.Input{Context: m.Context}}
	switch {
	case m.Mu != nil:
		in.Mu = append([]byte{}, *m.Mu...)
	case value == nil:
		return in, fault.New(fault.Invalid, "BadParameter", "The parameters alg and value are required; to verify, also digest.")
	}
	if value != nil {
		in.Value = *value
	}
	return in, nil
}

// sign is POST /keys/{name}/{version?}/sign: KeySignParameters, whose value is the digest,
// to KeyOperationResult.
func (d door) sign(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var p struct {
		message
		Algorithm string      `json:"alg"`
		Value     *keys.Bytes `json:"value"`
	}
	if err := q.Decode(&p); err != nil {
		return wire.Response{}, err
	}
	in, err := p.input(p.Algorithm, p.Value)
	if err != nil {
		return wire.Response{}, err
	}
	r, err := d.s.Sign(ctx, q.Caller, q.Ref(), in)
	return result(q, r, err)
}

// verifyResult is KeyVerifyResult.
type verifyResult struct {
	Value bool `json:"value"`
}

// verify is POST /keys/{name}/{version?}/verify: KeyVerifyParameters, whose value is the
// signature, to KeyVerifyResult.
func (d door) verify(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var p struct {
		message
		Algorithm string      `json:"alg"`
		Digest    *keys.Bytes `json:"digest"`
		Signature *keys.Bytes `json:"value"`
	}
	if err := q.Decode(&p); err != nil {
		return wire.Response{}, err
	}
	in, err := p.input(p.Algorithm, p.Digest)
	if err != nil {
		return wire.Response{}, err
	}
	if p.Signature == nil {
		return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The parameter value is required: the signature.")
	}
	ok, err := d.s.Verify(ctx, q.Caller, q.Ref(), in, *p.Signature)
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: verifyResult{ok}}, nil
}
