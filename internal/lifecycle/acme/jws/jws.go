// Package jws reads the signed requests of ACME strictly: flattened JSON serialisation,
// one signature, nothing unprotected, every algorithm bound to its kind of key (RFC 8555
// section 6.2, RFC 7515, RFC 7518).
package jws

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"hash"
	"math/big"
)

// MaxBody bounds a signed request, in bytes: a CSR with a hundred names fits.
const MaxBody = 128 << 10

// The errors, by what a client is told (RFC 8555 section 6.7).
var (
	ErrMalformed = errors.New("malformed")
	ErrAlgorithm = errors.New("badSignatureAlgorithm")
	ErrKey       = errors.New("badPublicKey")
	ErrSignature = errors.New("signature")
)

// Header is the protected header of a request.
type Header struct {
	Algorithm string
	Nonce     string
	URL       string
	KeyID     string
	Key       *Key // of jwk; nil when the header has none
}

// Message is a request whose signature is not verified yet.
type Message struct {
	Header
	Payload []byte // empty for POST-as-GET

	signed    []byte
	signature []byte
}

type envelope struct {
	Protected  *string        `json:"protected"`
	Payload    *string        `json:"payload"`
	Signature  *string        `json:"signature"`
	Header     jsontext.Value `json:"header"`
	Signatures jsontext.Value `json:"signatures"`
}

type protected struct {
	Algorithm string         `json:"alg"`
	Nonce     *string        `json:"nonce"`
	URL       string         `json:"url"`
	KeyID     *string        `json:"kid"`
	Key       jsontext.Value `json:"jwk"`
	Critical  jsontext.Value `json:"crit"`
	Base64    jsontext.Value `json:"b64"`
	Zip       jsontext.Value `json:"zip"`
}

// Parse reads a request.
func Parse(body []byte) (Message, error) {
	var e envelope
	if len(body) > MaxBody {
		return Message{}, fmt.Errorf("%w: the request has more than %d bytes", ErrMalformed, MaxBody)
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return Message{}, fmt.Errorf("%w: the body is no JWS in flattened JSON", ErrMalformed)
	}
	if len(e.Header) > 0 || len(e.Signatures) > 0 {
		return Message{}, fmt.Errorf("%w: an unprotected header or several signatures are not taken (RFC 8555 section 6.2)", ErrMalformed)
	}
	if e.Protected == nil || e.Payload == nil || e.Signature == nil {
		return Message{}, fmt.Errorf("%w: the JWS needs protected, payload and signature", ErrMalformed)
	}
	m := Message{signed: []byte(*e.Protected + "." + *e.Payload)}
	head, err := decode(*e.Protected)
	if err != nil {
		return m, err
	}
	if m.Payload, err = decode(*e.Payload); err != nil {
		return m, err
	}
	if m.signature, err = decode(*e.Signature); err != nil {
		return m, err
	}
	if len(m.signature) == 0 {
		return m, fmt.Errorf("%w: the signature is empty", ErrMalformed)
	}
	m.Header, err = parseHeader(head)
	return m, err
}

func parseHeader(text []byte) (h Header, err error) {
	var p protected
	if err := json.Unmarshal(text, &p); err != nil {
		return h, fmt.Errorf("%w: the protected header is no proper JSON object", ErrMalformed)
	}
	if len(p.Critical) > 0 || len(p.Base64) > 0 || len(p.Zip) > 0 {
		return h, fmt.Errorf("%w: crit, b64 and zip are not taken in the protected header", ErrMalformed)
	}
	h.Algorithm, h.URL = p.Algorithm, p.URL
	if p.Nonce != nil {
		h.Nonce = *p.Nonce
	}
	switch {
	case p.KeyID != nil && len(p.Key) > 0:
		return h, fmt.Errorf("%w: the protected header has both kid and jwk", ErrMalformed)
	case p.KeyID != nil && *p.KeyID != "":
		h.KeyID = *p.KeyID
	case len(p.Key) > 0:
		k, err := ParseKey(p.Key)
		if err != nil {
			return h, err
		}
		h.Key = &k
	default:
		return h, fmt.Errorf("%w: the protected header has neither kid nor jwk", ErrMalformed)
	}
	return h, nil
}

// decode reads base64url without padding, in its one spelling (RFC 8555 section 6.1).
func decode(text string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || bytes.ContainsAny([]byte(text), "\r\n") {
		return nil, fmt.Errorf("%w: a field is not base64url without padding", ErrMalformed)
	}
	return b, nil
}

// Algorithms are those that an account key may sign with.
func Algorithms() []string {
	return []string{"ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512"}
}

// Verify checks the signature. The algorithm must be the one, or one of those, of the
// key's kind, so that no public key is ever taken for the secret of an HMAC.
func (m Message) Verify(k Key) error {
	ok, fits := false, false
	switch pub := k.Public.(type) {
	case *ecdsa.PublicKey:
		fits = m.Algorithm == map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[pub.Curve.Params().Name]
		ok = fits && m.verifyEC(pub)
	case ed25519.PublicKey:
		fits = m.Algorithm == "EdDSA"
		ok = fits && ed25519.Verify(pub, m.signed, m.signature)
	case *rsa.PublicKey:
		var h crypto.Hash
		h, fits = map[string]crypto.Hash{"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512}[m.Algorithm]
		ok = fits && rsa.VerifyPKCS1v15(pub, h, digest(h, m.signed), m.signature) == nil
	}
	if !fits {
		return fmt.Errorf("%w: %.20q does not fit the key; use one of %q", ErrAlgorithm, m.Algorithm, Algorithms())
	}
	if !ok {
		return fmt.Errorf("%w: the signature of the request is not right", ErrSignature)
	}
	return nil
}

func (m Message) verifyEC(pub *ecdsa.PublicKey) bool {
	size := (pub.Curve.Params().BitSize + 7) / 8
	if len(m.signature) != 2*size {
		return false
	}
	h := map[int]crypto.Hash{32: crypto.SHA256, 48: crypto.SHA384, 66: crypto.SHA512}[size]
	r, s := new(big.Int).SetBytes(m.signature[:size]), new(big.Int).SetBytes(m.signature[size:])
	return ecdsa.Verify(pub, digest(h, m.signed), r, s)
}

func digest(h crypto.Hash, b []byte) []byte {
	switch h {
	case crypto.SHA384:
		sum := sha512.Sum384(b)
		return sum[:]
	case crypto.SHA512:
		sum := sha512.Sum512(b)
		return sum[:]
	default:
		sum := sha256.Sum256(b)
		return sum[:]
	}
}

// VerifyMAC checks the signature of an external account binding (RFC 8555 section 7.3.4).
func (m Message) VerifyMAC(secret []byte) error {
	hashes := map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}
	h, ok := hashes[m.Algorithm]
	if !ok {
		return fmt.Errorf("%w: %.20q is no algorithm of an external account key; use HS256, HS384 or HS512", ErrAlgorithm, m.Algorithm)
	}
	mac := hmac.New(h, secret)
	_, _ = mac.Write(m.signed) // never fails
	if !hmac.Equal(mac.Sum(nil), m.signature) {
		return fmt.Errorf("%w: the external account binding is not signed with the key of its id", ErrSignature)
	}
	return nil
}
