// Package renewal computes what a client is told about the renewal of a certificate: the
// id by which it asks, and the window in which it should renew (RFC 9773).
package renewal

import (
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"strings"
	"time"
)

// ID names a certificate by its authority key id and its serial (RFC 9773 section 4.1).
// The serial is the content of its DER integer, with the zero byte that keeps it positive.
func ID(c *x509.Certificate) string {
	return base64.RawURLEncoding.EncodeToString(c.AuthorityKeyId) + "." + base64.RawURLEncoding.EncodeToString(integer(c.SerialNumber))
}

func integer(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) == 0 || b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	return b
}

// ValidID reports whether the text has the form of an id.
func ValidID(text string) bool {
	key, serial, ok := strings.Cut(text, ".")
	if !ok || len(text) > 200 {
		return false
	}
	for _, part := range []string{key, serial} {
		if b, err := base64.RawURLEncoding.Strict().DecodeString(part); err != nil || len(b) == 0 {
			return false
		}
	}
	return true
}

// Window is a time in which to renew.
type Window struct{ Start, End time.Time }

// Usual is the window of a certificate about which there is nothing to say: it begins at
// two thirds of its life, at the half when it lives less than ten days, and leaves time to
// try again.
func Usual(from, to time.Time) Window {
	life := to.Sub(from)
	start := from.Add(life * 2 / 3)
	if life < 10*24*time.Hour {
		start = from.Add(life / 2)
	}
	return Window{start.Truncate(time.Second), start.Add(life / 10).Truncate(time.Second)}
}

// AtOnce is the window of a certificate that must be replaced now: it lies in the past.
func AtOnce(now time.Time) Window {
	now = now.UTC().Truncate(time.Second)
	return Window{now.Add(-2 * time.Hour), now.Add(-time.Hour)}
}
