// Package evidence tells what protects a key, in a form that can be checked without
// asking again. A keystore of hardware proves it by its own certificates; what a keystore
// of software says is signed by the installation, and says that it is software.
package evidence

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/object"
)

// attesting is what is done here; the audit record says KeyGetAttestation.
const attesting object.Operation = "GetAttestation"

// Version is that of our own statements: JSON in a compact JWS (RFC 7515) whose header
// has the certificate chain of the signing key.
const Version = "chatelaine.1"

// Signer signs for a vault.
type Signer interface {
	Sign(ctx context.Context, vault string, payload []byte) (string, error)
	// Certificates is the chain of the signing key, in PEM, the root last.
	Certificates(ctx context.Context, vault string) ([]byte, error)
}

// Service attests the keys of all vaults.
type Service struct {
	*object.Shelf
	keys   *keys.Service
	signer Signer
}

// New makes the service.
func New(d object.Deps, k *keys.Service, s Signer) *Service {
	return &Service{keys: k, signer: s, Shelf: object.NewShelf(d, object.Keys, map[object.Operation]access.Action{attesting: "keys/read"})}
}

// Attest returns a version of a key with the evidence of what protects it.
func (s *Service) Attest(ctx context.Context, c access.Caller, r object.Ref) (e object.Entry, a keystore.Attestation, err error) {
	err = s.Call(ctx, c, attesting, r, func(v *object.Vault) error {
		if e, err = s.Find(ctx, v, r); err != nil {
			return err
		}
		var ok bool
		if a, ok, err = s.keys.Attest(ctx, e.Version); err != nil {
			return err
		}
		if !ok {
			if a, err = s.state(ctx, e); err != nil {
				return err
			}
		}
		return s.Done(ctx, c, attesting, object.Ref{Vault: r.Vault, Name: r.Name, Version: e.Version.ID}, nil)
	})
	return e, a, err
}

// statement is what is signed about a key. Claims that an HSM would prove are there too,
// with the answer of software.
type statement struct {
	Issued      int64  `json:"iat"`
	Issuer      string `json:"iss"` // the vault's address
	Subject     string `json:"sub"` // the key's id
	About       string `json:"about"`
	Type        string `json:"kty"`
	Thumbprint  string `json:"jkt,omitempty"` // of the public half (RFC 7638, SHA-256)
	Keystore    string `json:"keystore"`      // software, or the HSM's name; empty when there is no private half
	Hardware    bool   `json:"hardware"`
	Extractable bool   `json:"extractable"` // whether what protects it could give it up
	Exportable  bool   `json:"exportable"`  // whether its release policy lets it go
}

// state makes the statement that the installation signs.
func (s *Service) state(ctx context.Context, e object.Entry) (a keystore.Attestation, err error) {
	d, err := keys.DetailsOf(e.Version)
	if err != nil {
		return a, err
	}
	x, err := keys.ExtraOf(e.Head)
	if err != nil {
		return a, err
	}
	address := s.Address(e.Vault.Name)
	st := statement{
		Issued: s.Now().Unix(), Issuer: address, Subject: address + "/keys/" + e.Head.Name + "/" + e.Version.ID,
		Type: d.Type, Keystore: d.Store, Extractable: d.Store != "", Exportable: x.Exportable,
	}
	if st.Thumbprint, err = thumbprint(d.JWK); err != nil {
		return a, err
	}
	a.Version = Version
	if a.Certificates, err = s.signer.Certificates(ctx, e.Vault.Name); err != nil {
		return a, err
	}
	if st.Thumbprint != "" {
		if a.Public, err = s.sign(ctx, e.Vault.Name, st, "public key"); err != nil {
			return a, err
		}
	}
	if d.Store != "" {
		a.Private, err = s.sign(ctx, e.Vault.Name, st, "private key")
	}
	return a, err
}

func (s *Service) sign(ctx context.Context, vault string, st statement, about string) ([]byte, error) {
	st.About = about
	payload, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	signed, err := s.signer.Sign(ctx, vault, payload)
	return []byte(signed), err
}

// thumbprint is that of RFC 7638 section 3, of the type without its protection; empty for
// a key that has no public half.
func thumbprint(k keys.JWK) (string, error) {
	members := map[string]any{"kty": strings.TrimSuffix(k.Type, "-HSM")} // written in the order of their names
	switch {
	case len(k.N) > 0:
		members["n"], members["e"] = k.N, k.E
	case len(k.X) > 0:
		members["crv"], members["x"], members["y"] = k.Curve, k.X, k.Y
	case len(k.Pub) > 0:
		members["alg"], members["pub"] = k.Algorithm, k.Pub
	default:
		return "", nil
	}
	b, err := json.Marshal(members)
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:]), err
}
