package keys

import (
	"context"
	"encoding/json"
	"slices"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/release"
	"chatelaine.dev/internal/vault/keys/transfer"
	"chatelaine.dev/internal/vault/object"
)

// released is the payload of the statement in which a key leaves, as Microsoft's clients
// in confidential environments read it.
type released struct {
	Request struct {
		APIVersion string          `json:"api-version"`
		Encryption transfer.Scheme `json:"enc"`
		KeyID      string          `json:"kid"`
		Nonce      string          `json:"nonce,omitempty"`
	} `json:"request"`
	Response struct {
		Key releasedBundle `json:"key"`
	} `json:"response"`
}

// releasedBundle is a KeyBundle with the wrapped key in it.
type releasedBundle struct {
	bundle
	Key struct {
		webKey
		KeyHSM keys.Bytes `json:"key_hsm"`
	} `json:"key"`
}

// maxNonce bounds what a client sends to see again.
const maxNonce = 1024

// release is POST /keys/{name}/{version?}/release: KeyReleaseParameters to KeyReleaseResult.
func (d door) release(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		Target     string          `json:"target"`
		Nonce      string          `json:"nonce"`
		Encryption transfer.Scheme `json:"enc"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	if len(in.Nonce) > maxNonce {
		return wire.Response{}, fault.New(fault.Invalid, "BadParameter", "The parameter nonce is longer than %d characters.", maxNonce)
	}
	value, err := d.Release.Release(ctx, q.Caller, q.Ref(), release.Request{
		Target: in.Target, Scheme: in.Encryption,
		Describe: func(e object.Entry, scheme transfer.Scheme, keyHSM []byte) ([]byte, error) {
			b, err := describe(q, e)
			if err != nil {
				return nil, err
			}
			var out released
			out.Request.APIVersion, out.Request.Nonce = q.Caller.APIVersion, in.Nonce
			out.Request.Encryption, out.Request.KeyID = scheme, b.Key.ID
			out.Response.Key.bundle = b
			out.Response.Key.Key.webKey, out.Response.Key.Key.KeyHSM = b.Key, slices.Clone(keyHSM)
			return json.Marshal(out)
		},
	})
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{Body: struct {
		Value string `json:"value"`
	}{value}}, nil
}
