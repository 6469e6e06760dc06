package app

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/vault/seal"
)

// hosts keeps a TLS certificate for each host that the product serves. Every vault gets
// one that names it alone: Node refuses a wildcard below localhost (contract §2.1.1).
type hosts struct {
	domain string
	kind   string // begins the names in the chest: "tls/"
	chest  *seal.Chest
	// issue makes a certificate for names with our own authority.
	issue func(ctx context.Context, names ...string) (tls.Certificate, error)
	// vault reports whether there is a vault of that name, deleted or not.
	vault func(ctx context.Context, name string) bool
	now   func() time.Time

	mu   sync.RWMutex
	kept map[string]*tls.Certificate
	busy sync.Mutex // one issuance at a time
}

// GetCertificate is that of tls.Config. A host that is none of ours, or none at all,
// gets the certificate of the domain.
func (h *hosts) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	name, below := strings.CutSuffix(host, "."+h.domain)
	if host != h.domain && (!below || strings.Contains(name, ".") || !h.vault(hello.Context(), name)) {
		host = h.domain
	}
	return h.certificate(hello.Context(), host)
}

// certificate returns the host's certificate, made or renewed when a third of its life
// is left.
func (h *hosts) certificate(ctx context.Context, host string) (*tls.Certificate, error) {
	h.mu.RLock()
	c := h.kept[host]
	h.mu.RUnlock()
	if h.fresh(c) {
		return c, nil
	}
	h.busy.Lock()
	defer h.busy.Unlock()
	h.mu.RLock()
	c = h.kept[host]
	h.mu.RUnlock()
	if h.fresh(c) {
		return c, nil
	}
	c, err := h.load(ctx, host)
	if fault.Is(err, fault.NotFound) || (err == nil && !h.fresh(c)) {
		c, err = h.make(context.WithoutCancel(ctx), host)
	}
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept[host] = c
	return c, nil
}

func (h *hosts) fresh(c *tls.Certificate) bool {
	if c == nil {
		return false
	}
	life := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)
	return h.now().Before(c.Leaf.NotAfter.Add(-life / 3))
}

// pair is a certificate with its key as it is kept, sealed.
type pair struct {
	Chain [][]byte `json:"chain"`
	Key   []byte   `json:"key"` // PKCS #8
}

// load returns the certificate that is kept; fault.NotFound if none is.
func (h *hosts) load(ctx context.Context, host string) (*tls.Certificate, error) {
	b, err := h.chest.Get(ctx, h.kind+host)
	if err != nil {
		return nil, err
	}
	var p pair
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, err
	}
	c := &tls.Certificate{Certificate: p.Chain}
	if c.PrivateKey, err = x509.ParsePKCS8PrivateKey(p.Key); err != nil {
		return nil, err
	}
	c.Leaf, err = x509.ParseCertificate(p.Chain[0])
	return c, err
}

func (h *hosts) make(ctx context.Context, host string) (*tls.Certificate, error) {
	names := []string{host}
	if host == h.domain { // reached by address too, on the machine itself
		names = append(names, "127.0.0.1", "::1")
	}
	c, err := h.issue(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("certificate for %s: %w", host, err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(pair{Chain: c.Certificate, Key: key})
	if err != nil {
		return nil, err
	}
	return &c, h.chest.Put(ctx, h.kind+host, b)
}

// certificatePEM writes certificates as PEM.
func certificatePEM(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// portOf returns the port of a listener's address.
func portOf(l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// statements signs what a vault states to the world: a released key, and what protects a
// key. Each vault has a key for it, whose certificate names the vault's host and comes
// from our own authority. Microsoft's clients want an RSA key, and the root in the chain.
// The authority is opened after the vaults, so it is looked for at the first use.
type statements struct{ app *App }

// openSigners opens the keeper of the keys that sign statements.
func (f *pkiFloor) openSigners() *hosts {
	return &hosts{
		domain: f.hosts.domain, kind: "statement/", chest: f.hosts.chest, now: f.hosts.now, vault: f.hosts.vault,
		kept: map[string]*tls.Certificate{}, issue: f.issueSigner,
	}
}

func (s statements) certificate(ctx context.Context, vault string) (*tls.Certificate, error) {
	return s.app.signers.certificate(ctx, vault+"."+s.app.cfg.Domain)
}

// issueSigner makes a key in memory and its certificate.
func (f *pkiFloor) issueSigner(ctx context.Context, names ...string) (tls.Certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return tls.Certificate{}, err
	}
	made, err := f.Issuance.Issue(ctx, access.System("statements"), issuance.Request{
		Profile: "tls-server", PublicKey: &key.PublicKey, Names: profile.Names{DNS: names},
	})
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(made.DER)
	return tls.Certificate{Certificate: append([][]byte{made.DER}, made.Chain...), PrivateKey: key, Leaf: leaf}, err
}

// Sign implements release.Signer and evidence.Signer.
func (s statements) Sign(ctx context.Context, vault string, payload []byte) (string, error) {
	c, err := s.certificate(ctx, vault)
	if err != nil {
		return "", err
	}
	key, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return "", errors.New("the key that signs statements does not sign")
	}
	chain := make([]string, 0, len(c.Certificate))
	for _, der := range c.Certificate {
		chain = append(chain, base64.StdEncoding.EncodeToString(der)) // RFC 7515 section 4.1.6
	}
	sum := sha256.Sum256(c.Certificate[0])
	o := (&jose.SignerOptions{}).WithHeader("x5c", chain).WithHeader("x5t#S256", base64.RawURLEncoding.EncodeToString(sum[:])).
		WithHeader("kid", hex.EncodeToString(sum[:])).WithType("JWT")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key}}, o)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// Certificates implements evidence.Signer: the chain of what signs, in PEM.
func (s statements) Certificates(ctx context.Context, vault string) ([]byte, error) {
	c, err := s.certificate(ctx, vault)
	if err != nil {
		return nil, err
	}
	return certificatePEM(c.Certificate...), nil
}
