package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/seal"
)

// hosts keeps a TLS certificate for each host that the product serves. Every vault gets
// one that names it alone: Node refuses a wildcard below localhost (contract §2.1.1).
type hosts struct {
	domain string
	chest  *seal.Chest
	// issue makes a certificate for names with our own authority.
	issue func(ctx context.Context, names ...string) (tls.Certificate, error)
	// vault reports whether there is a vault of that name.
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
	b, err := h.chest.Get(ctx, "tls/"+host)
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
	return &c, h.chest.Put(ctx, "tls/"+host, b)
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
