package keystore

import "context"

// Attestation is the evidence of what protects a key, in the words of whoever gives it.
type Attestation struct {
	Version      string
	Certificates []byte // PEM, to check it by
	Private      []byte // about the private half, or the symmetric key
	Public       []byte // about the public half, if there is one
}

// Attester is a Keystore that proves by itself what protects a key, as the hardware of an
// HSM does.
type Attester interface {
	Attest(ctx context.Context, m Material) (Attestation, error)
}
