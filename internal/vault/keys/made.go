package keys

import (
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

// Made is a key that exists but is in no vault yet. Making one is slow, so it is made
// before the transaction that stores it.
type Made struct {
	Public JWK
	Spec   keystore.Spec

	store    string
	material keystore.Material
	exposure *Exposure // what was said about letting it leave; nil for nothing
	exchange string    // the key under which it came; empty for none
}

// details are those of its record.
func (m Made) details() map[audit.Field]string {
	d := map[audit.Field]string{audit.KeyType: m.Spec.String()}
	if m.exchange != "" {
		d[audit.Exchange] = m.exchange
	}
	return d
}

// Format shows the type only.
func (m Made) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, m.Spec.String()+" "+hidden) }

// LogValue shows the type only.
func (m Made) LogValue() slog.Value { return slog.StringValue(m.Spec.String() + " " + hidden) }

// body is what a version of a key holds.
type body struct {
	JWK
	Bits     int               `json:"bits,omitempty"` // of a symmetric key, which nothing public tells
	Store    string            `json:"store"`          // the keystore that the material belongs to; "" without material
	Material keystore.Material `json:"material"`       // empty when only the public half is here
}

// spec is the key that the body holds.
func (b body) spec() (keystore.Spec, error) {
	if keyType(b.Type) == keystore.Oct {
		return keystore.Spec{Type: keystore.Oct, Bits: b.Bits}, nil
	}
	pub, err := b.Public()
	if err != nil {
		return keystore.Spec{}, err
	}
	return keystore.SpecOf(pub)
}

func (b body) nature() (nature, error) {
	spec, err := b.spec()
	return nature{kty: b.Type, spec: spec, publicOnly: len(b.Material) == 0}, err
}

// Details are what may be seen of a version of a key.
type Details struct {
	JWK
	Bits  int    // of a symmetric key
	Store string // what protects the key: "software", or the HSM's name
}

// HSMPlatform tells clients what protects the key, in Key Vault's words: "0" is a
// software module, whatever the key type asked for. HSMs of ours have no number there.
func (d Details) HSMPlatform() string {
	if d.Store == "software" || d.Store == "" {
		return "0"
	}
	return ""
}

// DetailsOf reads the public part of a version.
func DetailsOf(x object.Version) (Details, error) {
	b, err := bodyOf(x)
	return Details{JWK: b.JWK, Bits: b.Bits, Store: b.Store}, err
}

func bodyOf(x object.Version) (body, error) {
	var b body
	if err := json.Unmarshal(x.Body, &b); err != nil {
		return b, fmt.Errorf("key version %s: %w", x.ID, err)
	}
	return b, nil
}

// Wanted is a key to make.
type Wanted struct {
	Type      string      // RSA, EC, oct, AKP, each also with -HSM
	Bits      int         // RSA, 0 for 2048; oct, 0 for 256
	Curve     string      // EC; "" for P-256
	Algorithm string      // AKP
	Ops       []Operation // nil for the defaults of the type

	Exportable bool // it may have the operation export
}

// Make makes a key. Nothing is authorised, stored or recorded here.
func (s *Service) Make(ctx context.Context, w Wanted) (Made, error) {
	f, err := formOf(w.Type)
	if err != nil {
		return Made{}, err
	}
	n := nature{kty: w.Type, spec: f.wanted(w), exportable: w.Exportable}
	if err := n.spec.Check(); err != nil {
		return Made{}, err
	}
	ops, err := n.allow(w.Ops)
	if err != nil {
		return Made{}, err
	}
	m, pub, err := s.store.Generate(ctx, n.spec)
	if err != nil {
		return Made{}, err
	}
	return s.made(n, m, pub, ops)
}

// Bring takes a key from outside, as Make makes one. The type is the key's own; hsm adds
// "-HSM" to its name.
func (s *Service) Bring(ctx context.Context, key crypto.PrivateKey, hsm bool, ops []Operation) (Made, error) {
	return s.bring(ctx, key, hsm, false, ops)
}

func (s *Service) bring(ctx context.Context, key crypto.PrivateKey, hsm, exportable bool, ops []Operation) (Made, error) {
	spec, err := keystore.SpecOfKey(key)
	if err != nil {
		return Made{}, err
	}
	n := natureOf(spec, hsm)
	n.exportable = exportable
	if ops, err = n.allow(ops); err != nil {
		return Made{}, err
	}
	m, pub, err := s.store.Import(ctx, key)
	if err != nil {
		return Made{}, err
	}
	return s.made(n, m, pub, ops)
}

// bringPublic takes the public half of a key that stays elsewhere: it verifies, encrypts
// and wraps.
func (s *Service) bringPublic(pub crypto.PublicKey, hsm bool, ops []Operation) (Made, error) {
	spec, err := keystore.SpecOf(pub)
	if err != nil {
		return Made{}, err
	}
	if k, ok := pub.(*rsa.PublicKey); ok {
		if err := keystore.CheckWeak(k); err != nil {
			return Made{}, err
		}
	}
	n := natureOf(spec, hsm)
	n.publicOnly = true
	if ops, err = n.allow(ops); err != nil {
		return Made{}, err
	}
	m, err := s.made(n, nil, pub, ops)
	m.store = ""
	return m, err
}

// natureOf is that of a key from outside, which has a private half.
func natureOf(spec keystore.Spec, hsm bool) nature {
	n := nature{kty: string(spec.Type), spec: spec}
	if hsm {
		n.kty += "-HSM"
	}
	return n
}

func (s *Service) made(n nature, m keystore.Material, pub crypto.PublicKey, ops []Operation) (Made, error) {
	jwk, err := publicJWK(n.kty, pub, ops)
	return Made{Public: jwk, Spec: n.spec, store: s.store.Name(), material: m}, err
}

func (m Made) body() (json.RawMessage, error) {
	b := body{JWK: m.Public, Store: m.store, Material: m.material}
	if m.Spec.Type == keystore.Oct {
		b.Bits = m.Spec.Bits
	}
	return json.Marshal(b)
}

// OpenMade returns the private key of m, to sign a certificate request with it.
func (s *Service) OpenMade(ctx context.Context, m Made) (crypto.Signer, error) {
	return keystore.OpenSigner(ctx, s.store, m.material)
}

// OpenVersion returns the key of a stored version. The caller has authorised and records
// the use.
func (s *Service) OpenVersion(ctx context.Context, x object.Version) (keystore.Private, error) {
	b, err := bodyOf(x)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, b)
}

func (s *Service) open(ctx context.Context, b body) (keystore.Private, error) {
	if len(b.Material) == 0 {
		return nil, errPublicOnly()
	}
	if b.Store != s.store.Name() {
		return nil, fault.New(fault.Unavailable, "", "The key lives in %q, which is not connected; ask the operator.", b.Store)
	}
	return s.store.Open(ctx, b.Material)
}

func errPublicOnly() error {
	return fault.New(fault.Denied, "KeyOperationForbidden", "Only the public half of the key is here; its private half was never imported.")
}

// PutManaged writes the key of a certificate's version, under the certificate's version
// id, inside the transaction of ctx. The caller has authorised and records.
func (s *Service) PutManaged(ctx context.Context, v *object.Vault, name string, x object.Version, m Made) (object.Entry, error) {
	x.Managed = true
	return s.append(ctx, v, name, x, m, true)
}

func (s *Service) append(ctx context.Context, v *object.Vault, name string, x object.Version, m Made, managed bool) (object.Entry, error) {
	return v.Append(ctx, object.Keys, name, x, func(h *object.Head, x *object.Version) (err error) {
		if h.Managed && !managed {
			return fault.New(fault.Denied, "ManagedObject", "The key %s belongs to a certificate; import or renew the certificate of the same name.", name)
		}
		if !h.Managed && managed && h.Latest != "" {
			return fault.New(fault.Conflict, "Conflict", "There is a key %s that belongs to no certificate; use another name, or delete and purge the key.", name)
		}
		h.Managed = managed
		if m.exposure != nil {
			if err := m.exposure.apply(h); err != nil {
				return err
			}
		}
		if err := leaves(*h, m.Public.Type); err != nil {
			return err
		}
		x.Body, err = m.body()
		return err
	})
}

// Attest returns what the keystore of a version proves about it; ok is false where it
// proves nothing.
func (s *Service) Attest(ctx context.Context, x object.Version) (a keystore.Attestation, ok bool, err error) {
	attester, ok := s.store.(keystore.Attester)
	if !ok {
		return a, false, nil
	}
	b, err := bodyOf(x)
	if err != nil || b.Store != s.store.Name() {
		return a, false, err
	}
	a, err = attester.Attest(ctx, b.Material)
	return a, true, err
}
