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
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

// Portable is a version of a key as it leaves one installation and arrives in another.
type Portable struct {
	Properties json.RawMessage   // what may be seen of the version: public half, operations
	Private    crypto.PrivateKey // as keystore.Exporter returns it; nil if it has none, or it cannot leave
	LeftBehind string            // why it cannot leave
}

// Format hides the key.
func (Portable) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the key.
func (Portable) LogValue() slog.Value { return slog.StringValue(hidden) }

// seen is what a body holds besides the material and where it lives.
type seen struct {
	JWK
	Bits int `json:"bits,omitempty"` // of a symmetric key
}

func (b body) seen() seen { return seen{b.JWK, b.Bits} }

// Leave takes a version out of its keystore, if that gives it up. private says whether the
// private half is wanted. The caller has authorised and records.
func (s *Service) Leave(ctx context.Context, x object.Version, private bool) (p Portable, err error) {
	b, err := bodyOf(x)
	if err != nil {
		return p, err
	}
	if p.Properties, err = json.Marshal(b.seen()); err != nil || len(b.Material) == 0 {
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
// the version that it makes, and its public half. The properties come from a file of
// unknown origin: they must be those of the key. It is slow, so it belongs before the
// transaction.
func (s *Service) Arrive(ctx context.Context, p Portable) (json.RawMessage, JWK, error) {
	var b seen
	d := json.NewDecoder(bytes.NewReader(p.Properties))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return nil, JWK{}, notPortable(fmt.Errorf("properties: %w", err))
	}
	if b.Ops == nil {
		return nil, JWK{}, notPortable(errors.New("its properties are not whole"))
	}
	m, err := s.arrived(ctx, b, p.Private)
	if err != nil {
		return nil, JWK{}, err
	}
	text, err := m.body()
	if err != nil {
		return nil, JWK{}, err
	}
	is, err := bodyOf(object.Version{Body: text})
	if err != nil {
		return nil, JWK{}, err
	}
	if same, err := same(is.seen(), b); err != nil || !same {
		return nil, JWK{}, notPortable(errors.New("its private half is not that of its properties"))
	}
	return text, m.Public, nil
}

// arrived makes the key that the properties describe.
func (s *Service) arrived(ctx context.Context, b seen, private crypto.PrivateKey) (Made, error) {
	hsm := strings.HasSuffix(b.Type, "-HSM")
	if private != nil {
		return s.Bring(ctx, private, hsm, b.Ops)
	}
	pub, err := b.Public()
	if err != nil {
		return Made{}, err
	}
	return s.bringPublic(pub, hsm, b.Ops)
}

func notPortable(err error) error {
	return fault.New(fault.Invalid, "NotAnExport", "A key of the file is not one that an export holds: %.200s.", err.Error())
}

func same(a, b seen) (bool, error) {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return bytes.Equal(x, y), errors.Join(errX, errY)
}

// AdoptExtra gives a head what ExtraOf says of a key elsewhere. It comes from a file of
// unknown origin; rotation checks the part that is package rotation's.
func AdoptExtra(h *object.Head, sent json.RawMessage, rotation func(json.RawMessage) (json.RawMessage, error)) error {
	if sent == nil {
		return nil
	}
	var x Extra
	d := json.NewDecoder(bytes.NewReader(sent))
	d.DisallowUnknownFields()
	if err := d.Decode(&x); err != nil {
		return notPortable(err)
	}
	if x.Exportable != (x.Release != nil) {
		return notPortable(errors.New("it may be released without a policy, or has one for nothing"))
	}
	var err error
	if x.Rotation != nil {
		if x.Rotation, err = rotation(x.Rotation); err != nil {
			return err
		}
	}
	return x.Put(h)
}
