package enrollment_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"net/netip"
	"testing"

	"chatelaine.dev/internal/lifecycle/inventory"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/pki/profile"
)

type inventoryInstallation = inventory.Installation

func profileNames(names ...string) profile.Names {
	var n profile.Names
	for _, name := range names {
		if _, err := netip.ParseAddr(name); err == nil {
			n.IP = append(n.IP, name)
		} else {
			n.DNS = append(n.DNS, name)
		}
	}
	return n
}

// contains looks for a secret as it is and in base64.
func contains(haystack, secret []byte) bool {
	return bytes.Contains(haystack, secret) || bytes.Contains(haystack, []byte(base64.StdEncoding.EncodeToString(secret)))
}

// keyOf is the SHA-256 of a request's public key.
func keyOf(t testing.TB, w *World, id string) string {
	t.Helper()
	e, err := w.Store.Request(t.Context(), id)
	must(t, err)
	csr, err := x509.ParseCertificateRequest(e.CSR)
	must(t, err)
	return SHA256(csr.RawSubjectPublicKeyInfo)
}
