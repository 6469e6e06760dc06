package policy

import (
	"crypto/x509"
	"slices"
	"strings"
)

// usageBit pairs a key usage with its bit (RFC 5280, 4.2.1.3) and with the operations
// that it allows on the vault's key (contract §2.6).
type usageBit struct {
	name string
	bit  x509.KeyUsage
	ops  []string
}

func usageBits() []usageBit {
	sign := []string{"sign", "verify"}
	return []usageBit{
		{"digitalSignature", x509.KeyUsageDigitalSignature, sign},
		{"nonRepudiation", x509.KeyUsageContentCommitment, sign},
		{"keyEncipherment", x509.KeyUsageKeyEncipherment, []string{"wrapKey", "unwrapKey"}},
		{"dataEncipherment", x509.KeyUsageDataEncipherment, []string{"encrypt", "decrypt"}},
		{"keyAgreement", x509.KeyUsageKeyAgreement, nil},
		{"keyCertSign", x509.KeyUsageCertSign, sign},
		{"cRLSign", x509.KeyUsageCRLSign, sign},
		{"encipherOnly", x509.KeyUsageEncipherOnly, []string{"encrypt"}},
		{"decipherOnly", x509.KeyUsageDecipherOnly, []string{"decrypt"}},
	}
}

// KeyUsage is the usage as bits. Unknown names have none; Check refuses them.
func (x *X509Properties) KeyUsage() x509.KeyUsage {
	var u x509.KeyUsage
	for _, b := range usageBits() {
		if slices.Contains(x.Usage, b.name) {
			u |= b.bit
		}
	}
	return u
}

func usageNames(u x509.KeyUsage) []string {
	names := []string{}
	for _, b := range usageBits() {
		if u&b.bit != 0 {
			names = append(names, b.name)
		}
	}
	return names
}

// Operations are the key_ops of the certificate's key, in the service's order. An EC key
// has only sign and verify. A usage that allows nothing still leaves those two: a key
// without operations breaks the clients' local cryptography.
func (p Policy) Operations() []string {
	order := []string{"encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"}
	isEC := p.Key != nil && strings.HasPrefix(p.Key.Type, ecType)
	var usage []string
	if p.X509 != nil {
		usage = p.X509.Usage
	}
	if len(usage) == 0 { // RFC 5280: no key usage means any
		usage = []string{"digitalSignature", "keyEncipherment", "dataEncipherment"}
	}
	allowed := map[string]bool{}
	for _, b := range usageBits() {
		if slices.Contains(usage, b.name) {
			for _, op := range b.ops {
				allowed[op] = true
			}
		}
	}
	ops := slices.DeleteFunc(order, func(op string) bool {
		return !allowed[op] || isEC && op != "sign" && op != "verify"
	})
	if len(ops) == 0 {
		return []string{"sign", "verify"}
	}
	return ops
}
