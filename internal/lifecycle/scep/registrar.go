package scep

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/cms"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/vault/keystore"
)

// The registrar's key is RSA of its own, because the authority's may be none that decrypts
// and should do nothing but sign certificates.
const (
	registrarBits = 3072
	// renewAhead is how long before its end a certificate is replaced: clients keep what
	// GetCACert told them for a while. What was encrypted for the one before is still read.
	renewAhead = 60 * 24 * time.Hour
)

// StoredKey is a key with its certificate, as the Store keeps it, sealed.
type StoredKey struct {
	Key         keystore.Material `json:"key"`
	Certificate []byte            `json:"certificate"` // DER
	Chain       [][]byte          `json:"chain"`       // DER, the authority first, the root last
	Authority   string            `json:"authority"`   // that issued it
}

// Stored is the registrar of an authority.
type Stored struct {
	Authority string     `json:"authority"`
	Current   StoredKey  `json:"current"`
	Previous  *StoredKey `json:"previous,omitempty"`
	Revision  int64      `json:"revision"`
}

// RegistrarStore keeps registrars.
type RegistrarStore interface {
	// Registrar returns the registrar of an authority, or fault.NotFound.
	Registrar(ctx context.Context, authority string) (Stored, error)
	// PutRegistrar stores one in place of the row whose revision is one lower, or anew with
	// revision 1; fault.Conflict when there is another.
	PutRegistrar(ctx context.Context, r Stored) error
}

// Issuer makes the certificates of registrars; *issuance.Service does.
type Issuer interface {
	Registrar(ctx context.Context, c access.Caller, authority string, pub crypto.PublicKey) (issuance.Result, error)
}

// RegistrarDeps are what Registrars need.
type RegistrarDeps struct {
	Store    RegistrarStore
	Issuer   Issuer
	Issued   Issued
	Keystore keystore.Keystore
	Now      func() time.Time
}

// Registrars are those of all authorities; each is made when it is first needed.
type Registrars struct {
	d    RegistrarDeps
	mu   sync.Mutex
	open map[string]Registrar
}

// NewRegistrars makes them.
func NewRegistrars(d RegistrarDeps) *Registrars {
	return &Registrars{d: d, open: map[string]Registrar{}}
}

// Registrar is ready to decrypt and sign.
type Registrar struct {
	Current  Key
	Previous *Key
	revision int64
}

// Key is a key that is opened.
type Key struct {
	Certificate *x509.Certificate
	Chain       [][]byte
	Authority   string
	private     keystore.Private
}

func (k Key) opener(legacy bool) cms.Opener {
	d, _ := k.private.(crypto.Decrypter)
	return cms.Opener{Certificate: k.Certificate, Key: d, Legacy: legacy}
}

func (k Key) signer() cms.Signer {
	s, _ := k.private.(crypto.Signer)
	return cms.Signer{Certificate: k.Certificate, Key: s}
}

// For returns the registrar of an authority, with a certificate that is good for a while.
func (g *Registrars) For(ctx context.Context, authority string) (Registrar, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r, ok := g.open[authority]; ok {
		if good, err := g.good(ctx, r.Current); good || err != nil {
			return r, err
		}
	}
	stored, err := g.d.Store.Registrar(ctx, authority)
	if err == nil {
		r, err := g.opened(ctx, stored)
		if err != nil {
			return r, err
		}
		if good, err := g.good(ctx, r.Current); good || err != nil {
			g.open[authority] = r
			return r, err
		}
	} else if !fault.Is(err, fault.NotFound) {
		return Registrar{}, err
	}
	return g.renew(ctx, authority, stored)
}

// good reports whether a certificate is neither revoked nor near its end.
func (g *Registrars) good(ctx context.Context, k Key) (bool, error) {
	if g.d.Now().Add(renewAhead).After(k.Certificate.NotAfter) {
		return false, nil
	}
	sum := sha256.Sum256(k.Certificate.Raw)
	found, err := g.d.Issued.CertificateBySHA256(ctx, hex.EncodeToString(sum[:]))
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return found.State == issuance.Issued, err
}

// renew makes the next key and certificate. The one before is kept for what is under way,
// unless it is past its end.
func (g *Registrars) renew(ctx context.Context, authority string, before Stored) (Registrar, error) {
	material, public, err := g.d.Keystore.Generate(ctx, keystore.Spec{Type: keystore.RSA, Bits: registrarBits})
	if err != nil {
		return Registrar{}, fmt.Errorf("make the registrar's key: %w", err)
	}
	made, err := g.d.Issuer.Registrar(ctx, access.System(Door), authority, public)
	if err != nil {
		return Registrar{}, fmt.Errorf("certify the registrar of %s: %w", authority, err)
	}
	next := Stored{Authority: authority, Revision: before.Revision + 1, Current: StoredKey{Key: material, Certificate: made.DER, Chain: made.Chain, Authority: made.Authority}}
	if before.Revision > 0 {
		next.Previous = &before.Current
	}
	err = g.d.Store.PutRegistrar(ctx, next)
	if fault.Is(err, fault.Conflict) { // another node was faster
		if next, err = g.d.Store.Registrar(ctx, authority); err != nil {
			return Registrar{}, err
		}
	}
	if err != nil {
		return Registrar{}, err
	}
	r, err := g.opened(ctx, next)
	if err == nil {
		g.open[authority] = r
	}
	return r, err
}

func (g *Registrars) opened(ctx context.Context, s Stored) (Registrar, error) {
	r := Registrar{revision: s.Revision}
	var err error
	if r.Current, err = g.openKey(ctx, s.Current); err != nil || s.Previous == nil {
		return r, err
	}
	before, err := g.openKey(ctx, *s.Previous)
	r.Previous = &before
	return r, err
}

func (g *Registrars) openKey(ctx context.Context, s StoredKey) (Key, error) {
	c, err := x509.ParseCertificate(s.Certificate)
	if err != nil {
		return Key{}, err
	}
	private, err := g.d.Keystore.Open(ctx, s.Key)
	if err != nil {
		return Key{}, fmt.Errorf("open the registrar's key: %w", err)
	}
	_, decrypts := private.(crypto.Decrypter)
	_, signs := private.(crypto.Signer)
	if !decrypts || !signs {
		return Key{}, fault.New(fault.Unavailable, "NoDecryption", "the keystore %s does not decrypt with RSA keys, which SCEP needs", g.d.Keystore.Name())
	}
	return Key{Certificate: c, Chain: s.Chain, Authority: s.Authority, private: private}, nil
}
