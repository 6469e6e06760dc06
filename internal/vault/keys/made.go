package keys

import (
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"

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
}

// Format shows the type only.
func (m Made) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, m.Spec.String()+" "+hidden) }

// LogValue shows the type only.
func (m Made) LogValue() slog.Value { return slog.StringValue(m.Spec.String() + " " + hidden) }

// body is what a version of a key holds.
type body struct {
	JWK
	Store    string            `json:"store"` // the keystore that the material belongs to
	Material keystore.Material `json:"material"`
}

// Details are what may be seen of a version of a key.
type Details struct {
	JWK
	Store string // what protects the key: "software", or the HSM's name
}

// HSMPlatform tells clients what protects the key, in Key Vault's words: "0" is a
// software module, whatever the key type asked for. HSMs of ours have no number there.
func (d Details) HSMPlatform() string {
	if d.Store == "software" {
		return "0"
	}
	return ""
}

// DetailsOf reads the public part of a version.
func DetailsOf(x object.Version) (Details, error) {
	b, err := bodyOf(x)
	return Details{JWK: b.JWK, Store: b.Store}, err
}

func bodyOf(x object.Version) (body, error) {
	var b body
	if err := json.Unmarshal(x.Body, &b); err != nil {
		return b, fmt.Errorf("key version %s: %w", x.ID, err)
	}
	return b, nil
}

// Make makes a key. kty is RSA, RSA-HSM, EC or EC-HSM; bits 0 and curve "" stand for the
// defaults; ops nil for all that the type can do. Nothing is authorised, stored or
// recorded here.
func (s *Service) Make(ctx context.Context, kty string, bits int, curve string, ops []Operation) (Made, error) {
	spec, err := specFor(kty, bits, curve)
	if err != nil {
		return Made{}, err
	}
	if ops, err = checkOps(ops, spec.Type); err != nil {
		return Made{}, err
	}
	m, pub, err := s.store.Generate(ctx, spec)
	if err != nil {
		return Made{}, err
	}
	return s.made(kty, m, pub, ops)
}

// Bring takes a key from outside, as Make makes one. The type is the key's own; hsm adds
// "-HSM" to its name.
func (s *Service) Bring(ctx context.Context, key crypto.PrivateKey, hsm bool, ops []Operation) (Made, error) {
	m, pub, err := s.store.Import(ctx, key)
	if err != nil {
		return Made{}, err
	}
	spec, err := keystore.SpecOf(pub)
	if err != nil {
		return Made{}, err
	}
	if ops, err = checkOps(ops, spec.Type); err != nil {
		return Made{}, err
	}
	kty := string(spec.Type)
	if hsm {
		kty += "-HSM"
	}
	return s.made(kty, m, pub, ops)
}

func (s *Service) made(kty string, m keystore.Material, pub crypto.PublicKey, ops []Operation) (Made, error) {
	jwk, err := publicJWK(kty, pub, ops)
	if err != nil {
		return Made{}, err
	}
	spec, err := keystore.SpecOf(pub)
	return Made{Public: jwk, Spec: spec, store: s.store.Name(), material: m}, err
}

func (m Made) body() (json.RawMessage, error) {
	return json.Marshal(body{JWK: m.Public, Store: m.store, Material: m.material})
}

// OpenMade returns the private key of m, to sign a certificate request with it.
func (s *Service) OpenMade(ctx context.Context, m Made) (keystore.Private, error) {
	return s.store.Open(ctx, m.material)
}

// OpenVersion returns the private key of a stored version. The caller has authorised and
// records the use.
func (s *Service) OpenVersion(ctx context.Context, x object.Version) (keystore.Private, error) {
	b, err := bodyOf(x)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, b)
}

func (s *Service) open(ctx context.Context, b body) (keystore.Private, error) {
	if b.Store != s.store.Name() {
		return nil, fault.New(fault.Unavailable, "", "The key lives in %q, which is not connected; ask the operator.", b.Store)
	}
	return s.store.Open(ctx, b.Material)
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
		x.Body, err = m.body()
		return err
	})
}

// checkOps returns the operations that a key of type t is restricted to, each once: all
// for nil, none for an empty list.
func checkOps(ops []Operation, t keystore.Type) ([]Operation, error) {
	can := operationsOf(t)
	if ops == nil {
		return can, nil
	}
	checked := make([]Operation, 0, len(can))
	for _, op := range ops {
		if !slices.Contains(can, op) {
			return nil, fault.New(fault.Invalid, "BadParameter", "The operation %.20q in key_ops is not one of an %s key; use some of %q.", op, t, can)
		}
		if !slices.Contains(checked, op) {
			checked = append(checked, op)
		}
	}
	return checked, nil
}
