package certificates

import (
	"bytes"
	"encoding/json"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/object"
)

// PortablePolicy is the policy of a certificate as an export holds it. A creation that is
// pending stays behind: the answer of its CA comes to this installation.
func PortablePolicy(h object.Head) (json.RawMessage, error) {
	s, err := stateOf(h)
	if err != nil {
		return nil, err
	}
	return json.Marshal(s.Policy)
}

// AdoptPolicy gives a head the policy that PortablePolicy returned elsewhere. It comes
// from a file of unknown origin.
func AdoptPolicy(h *object.Head, sent json.RawMessage) error {
	var p policy.Policy
	d := json.NewDecoder(bytes.NewReader(sent))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return fault.New(fault.Invalid, "NotAnExport", "The policy of the certificate %s cannot be read: %.100s.", h.Name, err.Error())
	}
	if p.Issuer == nil || p.Key == nil || p.X509 == nil || p.Secret == nil {
		return fault.New(fault.Invalid, "NotAnExport", "The policy of the certificate %s is not whole.", h.Name)
	}
	if err := p.CheckSent(policy.Policy{}); err != nil { // an imported certificate may be what we would not make
		return err
	}
	return change(h, func(s *state) error {
		s.Policy = p
		return nil
	})
}

// Packed says what a version of a certificate consists of: its certificate and chain, in
// DER, the certificate first.
func (b Body) Packed() [][]byte { return append([][]byte{b.Certificate}, b.Chain...) }

// Unpack makes the body of a version of what Packed returned.
func Unpack(certificates [][]byte, preserveOrder, exportable bool) (json.RawMessage, error) {
	return json.Marshal(Body{Certificate: certificates[0], Chain: certificates[1:], PreserveOrder: preserveOrder, Exportable: exportable})
}
