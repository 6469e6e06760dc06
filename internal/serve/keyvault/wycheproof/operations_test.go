package wycheproof_test

import (
	"bytes"
	"crypto"
	"crypto/mldsa"
	"crypto/sha3"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// hash is one that algorithms of the vault have.
type hash struct {
	size int
	name string // the end of RS256, PS256, HS256
	make crypto.Hash
}

var hashes = map[string]hash{
	"SHA-256": {32, "256", crypto.SHA256},
	"SHA-384": {48, "384", crypto.SHA384},
	"SHA-512": {64, "512", crypto.SHA512},
}

func (h hash) of(message []byte) b64 {
	d := h.make.New()
	d.Write(message)
	return d.Sum(nil)
}

func isSize(bits int) bool { return bits == 0 || bits == 2048 || bits == 3072 || bits == 4096 }

// public is the key of a group as a JSON Web Key: the group's own, or made of its numbers.
func (r *run) public(g group) any {
	r.Helper()
	switch {
	case g.PublicJWK != nil:
		return g.PublicJWK
	case g.KeyJWK != nil:
		return g.KeyJWK
	}
	var k struct {
		Modulus  hexBytes `json:"modulus"`
		Exponent hexBytes `json:"publicExponent"`
		Curve    string   `json:"curve"`
		Point    hexBytes `json:"uncompressed"`
	}
	if err := json.Unmarshal(g.Public, &k); err != nil {
		r.Fatal(err)
	}
	if k.Curve == "" {
		return fields{"kty": "RSA", "n": k.Modulus, "e": k.Exponent}
	}
	name := map[string]string{"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "secp256k1": "P-256K"}[k.Curve]
	half := len(k.Point) / 2
	return fields{"kty": "EC", "crv": name, "x": k.Point[1 : 1+half], "y": k.Point[1+half:]}
}

// private is the same of a private RSA key. Without a JSON Web Key it is n, e and d alone.
func (r *run) private(g group) any {
	r.Helper()
	if g.PrivateJWK != nil {
		return g.PrivateJWK
	}
	var k struct {
		Modulus  hexBytes `json:"modulus"`
		Exponent hexBytes `json:"publicExponent"`
		Secret   hexBytes `json:"privateExponent"`
	}
	if err := json.Unmarshal(g.Private, &k); err != nil {
		r.Fatal(err)
	}
	return fields{"kty": "RSA", "n": k.Modulus, "e": k.Exponent, "d": k.Secret}
}

// signatureOf names the algorithm of a file's signatures.
func signatureOf(file string, g group) string {
	switch {
	case strings.HasPrefix(file, "rsa_pss"):
		return "PS" + hashes[g.Hash].name
	case strings.HasPrefix(file, "rsa"):
		return "RS" + hashes[g.Hash].name
	case strings.Contains(file, "secp256k1"):
		return "ES256K"
	}
	return "ES" + hashes[g.Hash].name
}

// verify imports public keys and verifies.
func verify(r *run, g group) {
	h, ok := hashes[g.Hash]
	switch {
	case !ok || g.MaskHash != "" && g.MaskHash != g.Hash:
		r.none(g, "another hash")
		return
	case strings.HasPrefix(r.file, "rsa") && !isSize(g.KeySize):
		r.none(g, "RSA keys of other sizes")
		return
	}
	if a := r.imported(r.public(g)); a.status != http.StatusOK {
		r.Errorf("the public key is refused: %s", a.Error.Message)
		return
	}
	for _, v := range g.Tests {
		want := r.want(g, v)
		got := r.verified(v, fields{"alg": signatureOf(r.file, g), "digest": h.of(v.Message), "value": v.Signature})
		if got != want {
			r.wrong(v, "verified %v", got)
		}
	}
}

// sign imports private keys and compares: RSASSA-PKCS1-v1_5 has one signature.
func sign(r *run, g group) {
	h, ok := hashes[g.Hash]
	if !ok {
		r.none(g, "another hash")
		return
	}
	loaded := r.imported(r.private(g))
	for _, v := range g.Tests {
		want := r.want(g, v)
		if loaded.status != http.StatusOK {
			if want {
				r.wrong(v, "the key is refused: %s", loaded.Error.Message)
			}
			continue
		}
		a := r.do("POST", "/sign", fields{"alg": signatureOf(r.file, g), "value": h.of(v.Message)})
		if bytes.Equal(a.bytes(), v.Signature) != want {
			r.wrong(v, "signed %d %x", a.status, a.bytes())
		}
	}
}

// decrypt imports private RSA keys and decrypts.
func decrypt(r *run, g group) {
	algorithm := map[string]string{"": "RSA1_5", "SHA-1": "RSA-OAEP", "SHA-256": "RSA-OAEP-256"}[g.Hash]
	switch {
	case algorithm == "" || g.MaskHash != g.Hash:
		r.none(g, "another hash")
		return
	case !isSize(g.KeySize):
		r.none(g, "RSA keys of other sizes")
		return
	}
	loaded := r.imported(r.private(g))
	threePrimes := strings.HasPrefix(r.file, "rsa_three_primes")
	if (loaded.status == http.StatusOK) == threePrimes {
		r.Errorf("the import answers %d %s", loaded.status, loaded.Error.Message)
		return
	}
	for _, v := range g.Tests {
		want := r.want(g, v)
		if threePrimes {
			continue // refused with its key
		}
		a := r.do("POST", "/decrypt", fields{"alg": algorithm, "value": v.Ciphertext})
		r.opened(v, a, want)
	}
}

// opened holds the answer of decrypt or unwrapKey against a vector.
func (r *run) opened(v vector, a answer, want bool) {
	r.Helper()
	if a.status != http.StatusOK {
		r.refusals[a.Error.Message]++
	}
	if got := a.bytes(); (got != nil) != want || want && !bytes.Equal(got, v.Message) {
		r.wrong(v, "decrypted %d %x %s", a.status, got, a.Error.Message)
	}
}

// symmetric imports AES keys, decrypts, and encrypts what can be compared.
func symmetric(r *run, g group) {
	for i, v := range g.Tests {
		name := r.key
		r.key = fmt.Sprintf("%s-%d", name, i)
		cipher(r, g, v)
		r.key = name
	}
}

func cipher(r *run, g group, v vector) {
	if a := r.imported(fields{"kty": "oct", "k": v.Key}); a.status != http.StatusOK {
		r.wrong(v, "the key is refused: %s", a.Error.Message)
		return
	}
	want, bits := r.want(g, v), 8*len(v.Key)
	there, back := "/encrypt", "/decrypt"
	in, out := fields{}, fields{}
	switch r.file {
	case "aes_gmac": // what is authenticated there is additional data here
		v.AAD, v.Message = v.Message, nil
		fallthrough
	case "aes_gcm":
		in["alg"] = fmt.Sprintf("A%dGCM", bits)
		in["iv"], in["aad"], in["tag"] = v.IV, v.AAD, v.Tag
		if len(v.IV) != 12 {
			if a := r.do("POST", back, with(in, v.Ciphertext)); a.status == http.StatusOK || want {
				r.wrong(v, "decrypted with an IV of %d bytes", len(v.IV))
			}
			return
		}
		there = "" // the IV is the vault's, so there is nothing to compare
	case "aes_cbc_pkcs5":
		in["alg"], in["iv"] = fmt.Sprintf("A%dCBCPAD", bits), v.IV
		out["alg"], out["iv"] = in["alg"], v.IV
	default:
		there, back = "/wrapkey", "/unwrapkey"
		in["alg"] = fmt.Sprintf("A%dKW", bits)
		if r.file == "aes_kwp" {
			in["alg"] = "CKM_AES_KEY_WRAP_PAD"
		}
		out["alg"] = in["alg"]
	}
	r.opened(v, r.do("POST", back, with(in, v.Ciphertext)), want)
	if there == "" || v.Result == "invalid" {
		return
	}
	if a := r.do("POST", there, with(out, v.Message)); bytes.Equal(a.bytes(), v.Ciphertext) != want {
		r.wrong(v, "encrypted %d %x %s", a.status, a.bytes(), a.Error.Message)
	}
}

func with(f fields, value []byte) fields {
	f["value"] = b64(value)
	return f
}

// authenticate imports HMAC keys, verifies, and signs.
func authenticate(r *run, g group) {
	g.Hash = "SHA-" + strings.TrimPrefix(r.file, "hmac_sha")
	for i, v := range g.Tests {
		name := r.key
		r.key = fmt.Sprintf("%s-%d", name, i)
		r.mac(g, v)
		r.key = name
	}
}

func (r *run) mac(g group, v vector) {
	want := r.want(g, v)
	loaded := r.imported(fields{"kty": "oct", "k": v.Key}, "sign", "verify")
	if tooLong := len(v.Key) > 64; tooLong != (loaded.status != http.StatusOK) {
		r.wrong(v, "the key is answered with %d %s", loaded.status, loaded.Error.Message)
	} else if tooLong {
		return
	}
	algorithm := "HS" + hashes[g.Hash].name
	if got := r.verified(v, fields{"alg": algorithm, "digest": v.Message, "value": v.Tag}); got != want {
		r.wrong(v, "verified %v", got)
	}
	a := r.do("POST", "/sign", fields{"alg": algorithm, "value": v.Message})
	if full := a.bytes(); bytes.HasPrefix(full, v.Tag) != (v.Result == "valid") {
		r.wrong(v, "signed %d %x", a.status, full)
	}
}

// setOf is the parameter set of an ML-DSA file, by its name.
func setOf(file string) mldsa.Parameters {
	return map[string]mldsa.Parameters{"44": mldsa.MLDSA44(), "65": mldsa.MLDSA65(), "87": mldsa.MLDSA87()}[strings.Split(file, "_")[1]]
}

// representative is the μ of a message (FIPS 204 section 6.2).
func representative(pub []byte, v vector) b64 {
	h := sha3.NewSHAKE256()
	_, _ = h.Write(pub)
	tr := make([]byte, 64)
	_, _ = h.Read(tr)
	h.Reset()
	for _, part := range [][]byte{tr, {0, byte(len(v.Context))}, v.Context, v.Message} {
		_, _ = h.Write(part)
	}
	mu := make([]byte, 64)
	_, _ = h.Read(mu)
	return mu
}

// verifyPostQuantum imports public keys and verifies each signature twice, once of the
// message and once of its μ.
func verifyPostQuantum(r *run, g group) {
	var pub hexBytes
	if err := json.Unmarshal(g.Public, &pub); err != nil {
		r.Fatal(err)
	}
	loaded := r.imported(fields{"kty": "AKP", "alg": setOf(r.file).String(), "pub": pub})
	for _, v := range g.Tests {
		want := r.want(g, v)
		if loaded.status != http.StatusOK {
			if want {
				r.wrong(v, "the key is refused: %s", loaded.Error.Message)
			}
			continue
		}
		if len(v.Context) > 255 {
			if a := r.do("POST", "/verify", fields{"digest": v.Message, "context": v.Context, "value": v.Signature}); a.status == http.StatusOK || want {
				r.wrong(v, "a context of %d bytes is answered with %d", len(v.Context), a.status)
			}
			continue
		}
		if got := r.verified(v, fields{"digest": v.Message, "context": v.Context, "value": v.Signature}); got != want {
			r.wrong(v, "verified %v", got)
		}
		if got := r.verified(v, fields{"external_mu": representative(pub, v), "value": v.Signature}); got != want {
			r.wrong(v, "verified %v with its μ", got)
		}
	}
}

// signPostQuantum imports seeds, verifies the vector's signature and one of our own: we
// sign with randomness, so the two differ. Where a vector has no seed, only the first.
func signPostQuantum(r *run, g group) {
	var pub hexBytes
	if g.Public != nil && json.Unmarshal(g.Public, &pub) != nil {
		r.Fatal("no public key")
	}
	jwk := fields{"kty": "AKP", "alg": setOf(r.file).String(), "pub": pub}
	switch {
	case g.Seed != nil:
		jwk["priv"] = *g.Seed
	case pub == nil || g.Tests[0].Result == "invalid":
		r.none(g, "private ML-DSA keys without a seed") // broken in a way that a seed cannot be
		return
	}
	loaded := r.imported(jwk)
	for _, v := range g.Tests {
		if g.Seed == nil && v.Result == "invalid" {
			r.left["private ML-DSA keys without a seed"]++
			continue
		}
		want := r.want(g, v)
		if loaded.status != http.StatusOK {
			if want {
				r.wrong(v, "the key is refused: %s", loaded.Error.Message)
			}
			continue
		}
		message := fields{"external_mu": v.Mu}
		digest := message
		if v.Message != nil {
			message, digest = fields{"value": v.Message, "context": v.Context}, fields{"digest": v.Message, "context": v.Context}
		}
		if want && !r.verified(v, both(digest, v.Signature)) {
			r.wrong(v, "its signature is refused")
		}
		if want && v.Mu != nil && !r.verified(v, fields{"external_mu": v.Mu, "value": v.Signature}) {
			r.wrong(v, "its signature is refused with its μ")
		}
		if g.Seed == nil {
			continue
		}
		a := r.do("POST", "/sign", message)
		if (a.status == http.StatusOK) != want || want && !r.verified(v, both(digest, a.bytes())) {
			r.wrong(v, "signed %d %s", a.status, a.Error.Message)
		}
	}
}

func both(f fields, signature []byte) fields {
	out := fields{"value": b64(signature)}
	for k, v := range f {
		out[k] = v
	}
	return out
}
