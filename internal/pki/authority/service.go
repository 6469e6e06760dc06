package authority

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"sync"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/signature"
	"chatelaine.dev/internal/vault/keystore"
)

// Actions that this package asks for, at "/authorities/{id}" or at "/" for a list.
const (
	ReadAuthorities  access.Action = "Chatelaine/authorities/read"
	WriteAuthorities access.Action = "Chatelaine/authorities/write"
)

// Deps is what a Service needs.
type Deps struct {
	Store    Store
	Ceremony *issuance.Ceremony
	Keystore keystore.Keystore
	Sealer   Sealer
	Transact audit.Transact
	Audit    audit.Recorder
	Guard    access.Guard
	Now      func() time.Time
}

// Service makes authorities and opens them for those who sign.
type Service struct {
	d Deps

	mu   sync.Mutex
	open map[string]opened // by id; an authority's key and certificate never change
}

type opened struct {
	sha256 string
	issuer issuance.Issuer
}

// New makes a Service.
func New(d Deps) *Service { return &Service{d: d, open: map[string]opened{}} }

// maxDepth bounds a chain.
const maxDepth = 8

// Get returns one authority; fault.NotFound.
func (s *Service) Get(ctx context.Context, c access.Caller, id string) (Authority, error) {
	if err := s.may(ctx, c, ReadAuthorities, id, "AuthorityGet"); err != nil {
		return Authority{}, err
	}
	return s.d.Store.Authority(ctx, id)
}

// List returns authorities by id, after the one given. limit is 1 to 1000; 0 means 100.
func (s *Service) List(ctx context.Context, c access.Caller, after string, limit int) ([]Authority, error) {
	if err := s.d.Guard.Authorize(ctx, c, ReadAuthorities, access.Root, "AuthorityList"); err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = 100
	}
	return s.d.Store.Authorities(ctx, after, min(limit, 1000))
}

// may authorises at the scope of one authority.
func (s *Service) may(ctx context.Context, c access.Caller, a access.Action, id, operation string) error {
	if !profile.ValidID(id) {
		return fault.New(fault.Invalid, "UnknownAuthority", "%.64q is no id of an authority; use up to 63 lower-case letters, digits and hyphens", id)
	}
	return s.d.Guard.Authorize(ctx, c, a, access.Scope("/authorities/"+id), operation)
}

// Certificate returns an authority's certificate in DER. It is public: anyone may ask.
func (s *Service) Certificate(ctx context.Context, id string) ([]byte, error) {
	a, err := s.public(ctx, id)
	return a.Certificate, err
}

// Certificates returns an authority's certificate and those above it in DER, the root
// last. They are public: anyone may ask.
func (s *Service) Certificates(ctx context.Context, id string) ([][]byte, error) {
	a, err := s.public(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.chain(ctx, a)
}

// Chain returns them in PEM.
func (s *Service) Chain(ctx context.Context, id string) ([]byte, error) {
	chain, err := s.Certificates(ctx, id)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, der := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out, nil
}

func (s *Service) public(ctx context.Context, id string) (Authority, error) {
	if !profile.ValidID(id) {
		return Authority{}, fault.New(fault.NotFound, "UnknownAuthority", "there is no such authority")
	}
	a, err := s.d.Store.Authority(ctx, id)
	if err == nil && a.State == Pending {
		err = fault.New(fault.NotFound, "AuthorityPending", "authority %s waits for its certificate", id)
	}
	return a, err
}

// chain returns DER, from the authority itself to its root.
func (s *Service) chain(ctx context.Context, a Authority) ([][]byte, error) {
	chain := [][]byte{a.Certificate}
	for a.Parent != "" {
		if len(chain) == maxDepth {
			return nil, fmt.Errorf("authority %s: more than %d authorities above it", a.ID, maxDepth)
		}
		above, err := s.d.Store.Authority(ctx, a.Parent)
		if err != nil {
			return nil, fmt.Errorf("authority above %s: %w", a.ID, err)
		}
		chain, a = append(chain, above.Certificate), above
	}
	outside, err := x509.ParseCertificates(a.Above)
	if err != nil {
		return nil, fmt.Errorf("certificates above %s: %w", a.ID, err)
	}
	for _, c := range outside {
		chain = append(chain, c.Raw)
	}
	return chain, nil
}

// Issuer implements issuance.Authorities. The key is opened once; whether the authority
// is active is read every time, because another node may have revoked it.
func (s *Service) Issuer(ctx context.Context, id string) (issuance.Issuer, error) {
	a, err := s.public(ctx, id)
	if fault.Is(err, fault.NotFound) {
		err = fault.Wrap(err, fault.NotFound, "UnknownAuthority", fmt.Sprintf("there is no authority %.64q", id))
	}
	if err != nil {
		return issuance.Issuer{}, err
	}
	s.mu.Lock()
	o, ok := s.open[id]
	s.mu.Unlock()
	if !ok || o.sha256 != a.SHA256 {
		if o, err = s.openKey(ctx, a); err != nil {
			return issuance.Issuer{}, fmt.Errorf("open authority %s: %w", id, err)
		}
		s.mu.Lock()
		s.open[id] = o
		s.mu.Unlock()
	}
	o.issuer.Active, o.issuer.Successor, o.issuer.Partitions = a.State == Active && !a.Severed, a.Successor, a.Partitions
	return o.issuer, nil
}

// openKey unseals the key and makes sure that it is the certificate's.
func (s *Service) openKey(ctx context.Context, a Authority) (opened, error) {
	private, err := s.signer(ctx, a.ID)
	if err != nil {
		return opened{}, err
	}
	cert, err := signature.ParseCertificate(a.Certificate)
	if err != nil {
		return opened{}, err
	}
	if err := belong(cert.PublicKey, private.Public()); err != nil {
		return opened{}, err
	}
	chain, err := s.chain(ctx, a)
	if err != nil {
		return opened{}, err
	}
	issuer := issuance.Issuer{ID: a.ID, Certificate: cert, Chain: chain, Signer: private}
	for _, der := range chain[1:] {
		above, err := signature.ParseCertificate(der)
		if err != nil {
			return opened{}, err
		}
		issuer.Above = append(issuer.Above, above)
	}
	return opened{sha256: a.SHA256, issuer: issuer}, nil
}

// signer opens the key of an authority.
func (s *Service) signer(ctx context.Context, id string) (crypto.Signer, error) {
	sealed, err := s.d.Store.SealedKey(ctx, id)
	if err != nil {
		return nil, err
	}
	material, err := s.d.Sealer.Open(keyName(id), sealed)
	if err != nil {
		return nil, err
	}
	return keystore.OpenSigner(ctx, s.d.Keystore, material)
}

// keyName identifies the sealed key of an authority.
func keyName(id string) string { return "authority/" + id + "/key" }
