package keys

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

// Portable is a version of a key as it leaves one installation and arrives in another.
type Portable struct {
	Properties json.RawMessage   // what may be seen of the version: public half, operations
	Private    crypto.PrivateKey // nil if it has none, or it cannot leave
	LeftBehind string            // why it cannot leave
}

// Format hides the key.
func (p Portable) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the key.
func (Portable) LogValue() slog.Value { return slog.StringValue(hidden) }

// What a body holds that belongs to this installation alone.
const (
	storeField    = "store"
	materialField = "material"
)

// Leave takes a version out of its keystore, if that gives it up. private says whether the
// private half is wanted. The caller has authorised and records.
func (s *Service) Leave(ctx context.Context, x object.Version, private bool) (Portable, error) {
	b, err := bodyOf(x)
	if err != nil {
		return Portable{}, err
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(x.Body, &fields); err != nil {
		return Portable{}, fmt.Errorf("key version %s: %w", x.ID, err)
	}
	delete(fields, storeField)
	delete(fields, materialField)
	var p Portable
	if p.Properties, err = json.Marshal(fields); err != nil || len(b.Material) == 0 {
		return p, err
	}
	if !private {
		p.LeftBehind = "private keys were not asked for"
		return p, nil
	}
	k, err := s.open(ctx, b)
	if fault.Is(err, fault.Unavailable) {
		p.LeftBehind = fault.Of(err).Message
		return p, nil
	}
	if err != nil {
		return p, err
	}
	e, ok := k.(keystore.Exporter)
	if !ok {
		p.LeftBehind = fmt.Sprintf("the key cannot leave %q, which holds it", b.Store)
		return p, nil
	}
	p.Private, err = e.Export()
	return p, err
}

// Arrive takes a version into the keystore of this installation and returns the body of
// the version that it makes. The properties come from a file of unknown origin: they must
// be those of the key. Making it is slow, so it is made before the transaction.
func (s *Service) Arrive(ctx context.Context, p Portable) (json.RawMessage, JWK, error) {
	var b body
	d := json.NewDecoder(bytes.NewReader(p.Properties))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return nil, JWK{}, notPortable(fmt.Errorf("properties: %w", err))
	}
	if b.Store != "" || len(b.Material) > 0 || p.Private == nil {
		return nil, JWK{}, notPortable(errors.New("properties hold key material, or there is no key"))
	}
	material, pub, err := s.store.Import(ctx, p.Private)
	if err != nil {
		return nil, JWK{}, err
	}
	spec, err := keystore.SpecOf(pub)
	if err != nil {
		return nil, JWK{}, err
	}
	if _, err := checkOps(b.Ops, spec.Type); err != nil {
		return nil, JWK{}, err
	}
	is, err := publicJWK(b.Type, pub, b.Ops)
	if err != nil {
		return nil, JWK{}, err
	}
	if keyType(b.Type) != spec.Type || !sameJWK(is, b.JWK) {
		return nil, JWK{}, notPortable(errors.New("the private key is not that of the properties"))
	}
	b.Store, b.Material = s.store.Name(), material
	text, err := json.Marshal(b)
	return text, is, err
}

func notPortable(err error) error {
	return fault.Wrap(err, fault.Invalid, "NotAnExport", "A key of the file is not one that an export holds: %s.", err)
}

func sameJWK(a, b JWK) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
