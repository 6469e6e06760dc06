package keys_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	doors "chatelaine.dev/internal/serve/keyvault/keys"
	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/attestation"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keys/evidence"
	"chatelaine.dev/internal/vault/keys/release"
	"chatelaine.dev/internal/vault/keys/rotation"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

// outside is what a vault needs of the world to release a key: an attestation service that
// knows one environment, and somebody who signs.
type outside struct {
	signer *rsa.PrivateKey
	rsa    *rsa.PrivateKey
}

// Fetch implements attestation.Fetcher.
func (o *outside) Fetch(_ context.Context, url string) ([]byte, error) {
	switch url {
	case "https://attest.example/.well-known/openid-configuration":
		return []byte(`{"issuer":"https://attest.example","jwks_uri":"https://attest.example/keys"}`), nil
	case "https://attest.example/keys":
		return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: o.signer.Public(), KeyID: "k"}}})
	}
	return nil, errors.New("404")
}

// Sign signs nothing: the payload of the JWS is what stories are about.
func (o *outside) Sign(_ context.Context, _ string, payload []byte) (string, error) {
	return "eyJhbGciOiJSUzI1NiJ9." + base64.RawURLEncoding.EncodeToString(payload) + ".c2lnbmF0dXJl", nil
}

// Certificates implements evidence.Signer.
func (o *outside) Certificates(context.Context, string) ([]byte, error) {
	return []byte("-----BEGIN CERTIFICATE-----\n"), nil
}

// token is what the attestation service says of the environment.
func (o *outside) token(t *testing.T) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: o.signer, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{
		"iss": "https://attest.example", "exp": 4000000000, "color": "green",
		"x-ms-runtime": map[string]any{"keys": []any{jose.JSONWebKey{Key: o.rsa.Public(), KeyID: "env", Use: "enc"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{}
	var err error
	if o.signer, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if o.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	return o
}

func services(d object.Deps, o *outside) doors.Services {
	a := attestation.New(attestation.Config{Fetcher: o, Now: d.Now})
	k := keys.New(d, keystore.NewSoftware())
	k.Authorities = a
	return doors.Services{
		Keys: k, Rotation: rotation.New(d, k), Evidence: evidence.New(d, k, o),
		Release: release.New(release.Deps{Deps: d, Keys: k, Verifier: a, Signer: o}),
	}
}

func TestExchangesAreAsRecorded(t *testing.T) {
	o := newOutside(t)
	keyvaulttest.Play(t, func(d object.Deps) []wire.Operation { return doors.Operations(services(d, o)) })
}

// What a key released looks like, and that a policy and a token as clients write them lead
// to it. Its token differs from run to run, so it is no story.
func TestAReleasedKeyIsDescribedAsClientsReadIt(t *testing.T) {
	o := newOutside(t)
	h := keyvaulttest.Start(t, func(d object.Deps) []wire.Operation { return doors.Operations(services(d, o)) })
	policy := base64.RawURLEncoding.EncodeToString([]byte(`{"anyOf":[{"allOf":[{"claim":"color","equals":"green"}],"authority":"https://attest.example/"}],"version":"1.0.0"}`))
	w := keyvaulttest.Do(h, "POST", "/keys/a/create?api-version=7.6", `{"kty":"RSA-HSM","attributes":{"exportable":true},"release_policy":{"data":"`+policy+`"}}`)
	if w.Code != 200 {
		t.Fatalf("create: %d %s", w.Code, w.Body)
	}
	w = keyvaulttest.Do(h, "POST", "/keys/a/release?api-version=7.6", `{"target":"`+o.token(t)+`","nonce":"n","enc":"RSA_AES_KEY_WRAP_256"}`)
	if w.Code != 200 {
		t.Fatalf("release: %d %s", w.Code, w.Body)
	}
	var answer struct{ Value string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(answer.Value, ".")[1])
	if err != nil {
		t.Fatal(err)
	}

	// As in Microsoft's confidential sidecar containers, pkg/skr.
	var got struct {
		Request struct {
			APIVersion string `json:"api-version"`
			Enc        string `json:"enc"`
			KID        string `json:"kid"`
			Nonce      string `json:"nonce"`
		} `json:"request"`
		Response struct {
			Key struct {
				Attributes map[string]any `json:"attributes"`
				Key        struct {
					KeyHSM string   `json:"key_hsm"`
					KID    string   `json:"kid"`
					KTY    string   `json:"kty"`
					KeyOps []string `json:"key_ops"`
					N      string   `json:"n"`
				} `json:"key"`
				Policy struct {
					ContentType string `json:"contentType"`
					Data        string `json:"data"`
				} `json:"release_policy"`
			} `json:"key"`
		} `json:"response"`
	}
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatal(err)
	}
	key := got.Response.Key
	if got.Request.APIVersion != "7.6" || got.Request.Enc != "RSA_AES_KEY_WRAP_256" || got.Request.Nonce != "n" || got.Request.KID != key.Key.KID ||
		!strings.HasPrefix(key.Key.KID, keyvaulttest.Origin+"/keys/a/") || key.Key.KTY != "RSA-HSM" || len(key.Key.KeyOps) != 6 || key.Key.N == "" ||
		key.Attributes["exportable"] != true || key.Policy.ContentType != "application/json; charset=utf-8" || key.Policy.Data == "" {
		t.Errorf("released as %s", payload)
	}
	keyHSM, err := base64.RawURLEncoding.DecodeString(key.Key.KeyHSM)
	if err != nil {
		t.Fatal(err)
	}
	var blob struct {
		Header struct{ Kid, Alg, Enc string }
	}
	if err := json.Unmarshal(keyHSM, &blob); err != nil || blob.Header.Kid != "env" || blob.Header.Alg != "dir" || blob.Header.Enc != "RSA_AES_KEY_WRAP_256" {
		t.Errorf("key_hsm is %s: %v", keyHSM, err)
	}
}
