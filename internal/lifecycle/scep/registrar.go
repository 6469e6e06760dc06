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
	// retry is how long nobody tries again to make one, after it failed: strangers ask, and
	// a key of this size is seconds of work.
	retry = time.Minute
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
	d      RegistrarDeps
	mu     sync.Mutex
	open   map[string]Registrar
	failed map[string]failure
}

// failure is why the last attempt to make a registrar failed.
type failure struct {
	at  time.Time
	err error
}

// NewRegistrars makes them.
func NewRegistrars(d RegistrarDeps) *Registrars {
	return &Registrars{d: d, open: map[string]Registrar{}, failed: map[string]failure{}}
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

	private       keystore.Private
	authorityEnds time.Time
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
// When the next cannot be made, the present one serves until its end.
func (g *Registrars) For(ctx context.Context, authority string) (Registrar, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r, ok := g.open[authority]; ok {
		if s, err := g.standing(ctx, r.Current); s == good || err != nil {
			return r, err
		}
	}
	stored, err := g.d.Store.Registrar(ctx, authority)
	if fault.Is(err, fault.NotFound) {
		return g.next(ctx, authority, stored, nil)
	}
	if err != nil {
		return Registrar{}, err
	}
	r, err := g.opened(ctx, stored)
	if err != nil {
		return r, err
	}
	s, err := g.standing(ctx, r.Current)
	switch {
	case err != nil:
		return r, err
	case s == good:
		g.open[authority] = r
		return r, nil
	case s == ending:
		return g.next(ctx, authority, stored, &r)
	}
	return g.next(ctx, authority, stored, nil)
}

// next makes the next registrar, unless that failed just now. present may serve instead.
func (g *Registrars) next(ctx context.Context, authority string, before Stored, present *Registrar) (Registrar, error) {
	f, tried := g.failed[authority]
	if age := g.d.Now().Sub(f.at); !tried || age < 0 || age >= retry {
		r, err := g.renew(ctx, authority, before)
		if err == nil {
			delete(g.failed, authority)
			return r, nil
		}
		f = failure{g.d.Now(), err}
		g.failed[authority] = f
	}
	if present != nil {
		return *present, nil
	}
	return Registrar{}, f.err
}

// standing is how a certificate stands.
type standing int

const (
	ended  standing = iota // expired, or revoked
	ending                 // to be replaced
	good
)

// standing looks at a certificate. One that lasts as long as its authority is as good as
// any that the authority could make.
func (g *Registrars) standing(ctx context.Context, k Key) (standing, error) {
	now := g.d.Now()
	if now.After(k.Certificate.NotAfter) {
		return ended, nil
	}
	sum := sha256.Sum256(k.Certificate.Raw)
	found, err := g.d.Issued.CertificateBySHA256(ctx, hex.EncodeToString(sum[:]))
	switch {
	case fault.Is(err, fault.NotFound):
		return ended, nil
	case err != nil:
		return ended, err
	case found.State != issuance.Issued:
		return ended, nil
	case now.Add(renewAhead).After(k.Certificate.NotAfter) && k.Certificate.NotAfter.Before(k.authorityEnds):
		return ending, nil
	}
	return good, nil
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
	k := Key{Certificate: c, Chain: s.Chain, Authority: s.Authority, private: private}
	if len(s.Chain) > 0 {
		issuer, err := x509.ParseCertificate(s.Chain[0])
		if err != nil {
			return Key{}, err
		}
		k.authorityEnds = issuer.NotAfter
	}
	return k, nil
}
