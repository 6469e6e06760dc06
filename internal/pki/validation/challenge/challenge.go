// Package challenge performs the challenges of ACME: http-01 and dns-01 (RFC 8555 section
// 8), tls-alpn-01 (RFC 8737), for names and addresses (RFC 8738). Whoever answers a
// challenge is a stranger: what it sends is bounded, and never repeated to anybody.
package challenge

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"chatelaine.dev/internal/fault"
)

// The methods.
const (
	HTTP01    = "http-01"
	DNS01     = "dns-01"
	TLSALPN01 = "tls-alpn-01"
)

// Config is what a Validator needs.
type Config struct {
	// Dial reaches servers. It decides about each address after it was resolved; an error
	// of kind fault.Denied says that it must not be reached.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TXT returns the texts of a name.
	TXT func(ctx context.Context, name string) ([]string, error)
	// HTTPPort and TLSPort are where the first connection goes; 0: 80 and 443. Redirects
	// may go to either.
	HTTPPort, TLSPort int
	// Patience bounds one validation; 0: ten seconds.
	Patience time.Duration
}

// Validator performs challenges. It is safe for concurrent use.
type Validator struct{ c Config }

// New makes a Validator.
func New(c Config) *Validator {
	if c.HTTPPort == 0 {
		c.HTTPPort = 80
	}
	if c.TLSPort == 0 {
		c.TLSPort = 443
	}
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	return &Validator{c}
}

// Proof is what is to be found, and where.
type Proof struct {
	Method string
	Name   string     // DNS name in lower case, without wildcard; empty for an address
	IP     netip.Addr // for an address
	Token  string
	// Authorization is the token and the thumbprint of the account's key (RFC 8555 section 8.1).
	Authorization string
}

// Kind says which part failed, in the words of RFC 8555 section 6.7.
type Kind string

// The kinds.
const (
	Connection   Kind = "connection"
	DNS          Kind = "dns"
	TLS          Kind = "tls"
	Unauthorized Kind = "unauthorized" // it answers, and shows something else
)

// Failure says why a challenge was not met. Detail is for the client; Err is for the log.
type Failure struct {
	Kind   Kind
	Detail string
	Err    error
}

func (f *Failure) Error() string {
	if f.Err != nil {
		return f.Detail + ": " + f.Err.Error()
	}
	return f.Detail
}

func (f *Failure) Unwrap() error { return f.Err }

// Validate performs the challenge. The error is a *Failure.
func (v *Validator) Validate(ctx context.Context, p Proof) error {
	ctx, cancel := context.WithTimeout(ctx, v.c.Patience)
	defer cancel()
	switch {
	case p.Method == HTTP01:
		return v.http01(ctx, p)
	case p.Method == TLSALPN01:
		return v.tlsALPN01(ctx, p)
	case p.Method == DNS01 && p.Name != "":
		return v.dns01(ctx, p)
	}
	return &Failure{Kind: Unauthorized, Detail: fmt.Sprintf("the method %.40q does not fit this identifier", p.Method)}
}

// host is where the proof is looked for.
func (p Proof) host() string {
	if p.Name == "" {
		return p.IP.String()
	}
	return p.Name
}

// dns01 looks for the digest in TXT records (RFC 8555 section 8.4).
func (v *Validator) dns01(ctx context.Context, p Proof) error {
	at := "_acme-challenge." + p.Name
	texts, err := v.c.TXT(ctx, at)
	if err != nil {
		return &Failure{DNS, "the TXT records of " + at + " could not be looked up", err}
	}
	sum := sha256.Sum256([]byte(p.Authorization))
	want := []byte(base64.RawURLEncoding.EncodeToString(sum[:]))
	for _, t := range texts {
		if subtle.ConstantTimeCompare([]byte(t), want) == 1 {
			return nil
		}
	}
	if len(texts) == 0 {
		return &Failure{Kind: Unauthorized, Detail: "there is no TXT record at " + at}
	}
	return &Failure{Kind: Unauthorized, Detail: fmt.Sprintf("none of the %d TXT records at %s is the one that was asked for", len(texts), at)}
}

// unreached words an error of the dialer.
func unreached(where string, err error) *Failure {
	var unknown *net.DNSError
	switch f := (*fault.Error)(nil); {
	case errors.As(err, &f) && f.Kind == fault.Denied:
		return &Failure{Connection, "connect to " + where + ": " + f.Message, err}
	case errors.As(err, &unknown) && unknown.IsNotFound:
		return &Failure{DNS, "connect to " + where + ": the name has no address", err}
	case errors.As(err, &unknown):
		return &Failure{DNS, "connect to " + where + ": the name could not be looked up", err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Failure{Connection, "connect to " + where + ": it took too long", err}
	}
	return &Failure{Connection, "connect to " + where + ": it was not reached", err}
}
