package ocsp

import (
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// single is what is said of one certificate.
type single struct {
	id      certID
	known   bool
	status  Status
	expires time.Time // nextUpdate; zero: newer answers may be there at any time
}

const (
	oidBasic          = "\x2b\x06\x01\x05\x05\x07\x30\x01\x01"
	oidExtendedRevoke = "\x2b\x06\x01\x05\x05\x07\x30\x01\x09"
	oidInvalidityDate = "\x55\x1d\x18"
)

// certificateHold is its reason code, RFC 5280 section 5.3.1.
const certificateHold = 6

// response is an answer that a signer has signed (RFC 6960 section 4.2.1).
func (s *signer) response(singles []single, nonce []byte, now time.Time) ([]byte, error) {
	data, err := s.data(singles, nonce, now)
	if err != nil {
		return nil, err
	}
	signed, err := s.scheme.Sign(s.key, data)
	if err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(data)+len(signed)+len(s.certificate)+128))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes([]byte{0x0a, 1, 0}) // successful
		b.AddASN1(explicit0, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addOID(b, oidBasic)
				b.AddASN1(asn1.OCTET_STRING, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddBytes(data)
						b.AddBytes(s.scheme.Algorithm)
						b.AddASN1BitString(signed)
						b.AddASN1(explicit0, func(b *cryptobyte.Builder) {
							b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(s.certificate) })
						})
					})
				})
			})
		})
	})
	return b.Bytes()
}

// data is a ResponseData.
func (s *signer) data(singles []single, nonce []byte, now time.Time) ([]byte, error) {
	var b cryptobyte.Builder
	extended := false
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(explicit2, func(b *cryptobyte.Builder) { b.AddASN1OctetString(s.keyHash) }) // byKey, as RFC 5019 wants it
		addTime(b, now)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, x := range singles {
				extended = x.add(b, now) || extended
			}
		})
		if nonce == nil && !extended {
			return
		}
		b.AddASN1(explicit1, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				if nonce != nil {
					addExtension(b, oidNonce, nonce)
				}
				if extended {
					addExtension(b, oidExtendedRevoke, []byte{5, 0})
				}
			})
		})
	})
	return b.Bytes()
}

// add writes a SingleResponse, and reports whether the certificate was never issued.
func (x single) add(b *cryptobyte.Builder, now time.Time) (extended bool) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(x.id.raw)
		since := time.Time{}
		switch {
		case !x.known:
			b.AddASN1(asn1.Tag(2).ContextSpecific(), func(*cryptobyte.Builder) {}) // unknown
		case !x.status.RevokedAt.IsZero():
			addRevoked(b, x.status.RevokedAt, x.status.Reason)
			since = x.status.InvalidSince
		case !x.status.Issued:
			extended = true
			addRevoked(b, time.Unix(0, 0), certificateHold)
		default:
			b.AddASN1(asn1.Tag(0).ContextSpecific(), func(*cryptobyte.Builder) {}) // good
		}
		addTime(b, now)
		if !x.expires.IsZero() {
			b.AddASN1(explicit0, func(b *cryptobyte.Builder) { addTime(b, x.expires) })
		}
		if !since.IsZero() { // the extensions of CRL entries may stand here, section 4.4.5
			b.AddASN1(explicit1, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					addExtension(b, oidInvalidityDate, since.UTC().AppendFormat([]byte{0x18, 15}, "20060102150405Z"))
				})
			})
		}
	})
	return extended
}

// addRevoked writes a RevokedInfo. The reason unspecified is left out.
func addRevoked(b *cryptobyte.Builder, at time.Time, reason int) {
	b.AddASN1(explicit1, func(b *cryptobyte.Builder) {
		addTime(b, at)
		if reason != 0 {
			b.AddASN1(explicit0, func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(reason)) })
		}
	})
}

func addTime(b *cryptobyte.Builder, t time.Time) {
	b.AddASN1GeneralizedTime(t.UTC().Truncate(time.Second))
}

func addOID(b *cryptobyte.Builder, oid string) {
	b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(oid)) })
}

func addExtension(b *cryptobyte.Builder, oid string, value []byte) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, oid)
		b.AddASN1OctetString(value)
	})
}
