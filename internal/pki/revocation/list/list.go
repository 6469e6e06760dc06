package list

import (
	"crypto"
	"crypto/x509"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"chatelaine.dev/internal/pki/signature"
)

// List is a CRL to be signed.
type List struct {
	Number     int64
	ThisUpdate time.Time
	NextUpdate time.Time
	Entries    Entries
	// Base makes it a delta: the number of the complete list that it goes on from.
	Base int64
	// Freshest is where the delta of this complete list is; empty: there is none.
	Freshest string
	// Scope is the address of a part, as it is in the certificates that the part is about.
	// Empty: the list is about all certificates of the authority.
	Scope string
}

// Sign writes the list in DER: one buffer, which takes the encoded entries as they are, is
// signed where it lies, and gets its head and its signature put around it.
func (l List) Sign(issuer *x509.Certificate, signer crypto.Signer) ([]byte, error) {
	scheme, err := signature.Of(signer.Public())
	if err != nil {
		return nil, err
	}
	head, err := l.head(issuer, scheme)
	if err != nil {
		return nil, err
	}
	tail, err := l.extensions(issuer)
	if err != nil {
		return nil, err
	}
	entries := sequence(len(l.Entries.der))
	if l.Entries.count == 0 {
		entries = nil // section 5.1.2.6: absent, not empty
	}
	inner := len(head) + len(entries) + len(l.Entries.der) + len(tail)
	tbsHead := sequence(inner)
	out := make([]byte, maxHead, maxHead+len(tbsHead)+inner+len(scheme.Algorithm)+scheme.Size+maxHead)
	for _, part := range [][]byte{tbsHead, head, entries, l.Entries.der, tail} {
		out = append(out, part...)
	}
	signed, err := scheme.Sign(signer, out[maxHead:])
	if err != nil {
		return nil, err
	}
	out = append(out, scheme.Algorithm...)
	out = append(append(out, 3), length(len(signed)+1)...)
	out = append(append(out, 0), signed...)
	outer := sequence(len(out) - maxHead)
	start := maxHead - len(outer)
	copy(out[start:], outer)
	return out[start:], nil
}

// maxHead is the longest tag and length, of four gigabytes.
const maxHead = 6

// sequence is the head of a SEQUENCE.
func sequence(n int) []byte { return append([]byte{0x30}, length(n)...) }

func length(n int) []byte {
	if n < 0x80 {
		return []byte{byte(n)}
	}
	b := big.NewInt(int64(n)).Bytes()
	return append([]byte{0x80 | byte(len(b))}, b...)
}

// head is what stands before the entries: version, algorithm, issuer and dates.
func (l List) head(issuer *x509.Certificate, s signature.Scheme) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1Int64(1) // v2
	b.AddBytes(s.Algorithm)
	b.AddBytes(issuer.RawSubject)
	b.AddBytes(appendTime(nil, l.ThisUpdate))
	b.AddBytes(appendTime(nil, l.NextUpdate))
	return b.Bytes()
}

// extensions is what stands behind them (section 5.2).
func (l List) extensions(issuer *x509.Certificate) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			extension(b, 35, false, func(b *cryptobyte.Builder) { // authorityKeyIdentifier
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(issuer.SubjectKeyId) })
				})
			})
			extension(b, 20, false, func(b *cryptobyte.Builder) { b.AddASN1Int64(l.Number) }) // cRLNumber
			if l.Base > 0 {
				extension(b, 27, true, func(b *cryptobyte.Builder) { b.AddASN1Int64(l.Base) }) // deltaCRLIndicator
			}
			if l.Scope != "" {
				extension(b, 28, true, func(b *cryptobyte.Builder) { // issuingDistributionPoint
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { distributionPoint(b, l.Scope) })
				})
			}
			if l.Freshest != "" {
				extension(b, 46, false, func(b *cryptobyte.Builder) { // freshestCRL
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { distributionPoint(b, l.Freshest) })
					})
				})
			}
		})
	})
	return b.Bytes()
}

// extension adds id-ce with the number.
func extension(b *cryptobyte.Builder, id byte, critical bool, value func(b *cryptobyte.Builder)) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte{0x55, 0x1d, id}) })
		if critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1(asn1.OCTET_STRING, value)
	})
}

// distributionPoint adds the field distributionPoint with one address as fullName.
func distributionPoint(b *cryptobyte.Builder, address string) {
	explicit := asn1.Tag(0).Constructed().ContextSpecific()
	b.AddASN1(explicit, func(b *cryptobyte.Builder) { // distributionPoint
		b.AddASN1(explicit, func(b *cryptobyte.Builder) { // fullName
			b.AddASN1(asn1.Tag(6).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(address)) }) // uniformResourceIdentifier
		})
	})
}
