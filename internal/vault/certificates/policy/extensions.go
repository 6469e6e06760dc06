package policy

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net/netip"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"chatelaine.dev/internal/vault/keystore/p256k/certificate"
)

// Object identifiers of extensions (RFC 5280, 4.2.1) and of Microsoft's user principal name.
func oidKeyUsage() asn1.ObjectIdentifier         { return asn1.ObjectIdentifier{2, 5, 29, 15} }
func oidNames() asn1.ObjectIdentifier            { return asn1.ObjectIdentifier{2, 5, 29, 17} }
func oidBasicConstraints() asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 29, 19} }
func oidExtendedUsage() asn1.ObjectIdentifier    { return asn1.ObjectIdentifier{2, 5, 29, 37} }
func oidUPN() asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}
}

// extensions are what a request asks for and a self-signed certificate has: the same
// bytes in both.
func (x *X509Properties) extensions() ([]pkix.Extension, error) {
	list := []pkix.Extension{}
	add := func(oid asn1.ObjectIdentifier, critical bool, build func(*cryptobyte.Builder)) error {
		var b cryptobyte.Builder
		build(&b)
		value, err := b.Bytes()
		if err != nil {
			return fmt.Errorf("encode extension %s: %w", oid, err)
		}
		list = append(list, pkix.Extension{Id: oid, Critical: critical, Value: value})
		return nil
	}
	if len(x.Usage) > 0 {
		if err := add(oidKeyUsage(), true, x.writeUsage); err != nil {
			return nil, err
		}
	}
	if len(x.ExtendedUsage) > 0 {
		if err := add(oidExtendedUsage(), false, x.writeExtendedUsage); err != nil {
			return nil, err
		}
	}
	if x.Names.count() > 0 {
		// RFC 5280, 4.2.1.6: critical when the subject says nothing.
		if err := add(oidNames(), x.Subject == "", x.Names.write); err != nil {
			return nil, err
		}
	}
	if err := add(oidBasicConstraints(), true, x.BasicConstraints.write); err != nil {
		return nil, err
	}
	return list, nil
}

// writeUsage writes the named bits without the zeros at their end (X.690, 11.2.2).
func (x *X509Properties) writeUsage(b *cryptobyte.Builder) {
	bits := x.KeyUsage()
	var octets [2]byte
	last := 0
	for i := range 9 {
		if bits&(1<<i) != 0 {
			octets[i/8] |= 0x80 >> (i % 8)
			last = i
		}
	}
	b.AddASN1(der.BIT_STRING, func(b *cryptobyte.Builder) {
		b.AddUint8(uint8(7 - last%8))
		b.AddBytes(octets[:last/8+1])
	})
}

func (x *X509Properties) writeExtendedUsage(b *cryptobyte.Builder) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, e := range x.ExtendedUsage {
			oid, ok := parseOID(e)
			if !ok {
				b.SetError(bad("x509_props.ekus holds %.40q, which is no object identifier", e))
				return
			}
			b.AddASN1ObjectIdentifier(oid)
		}
	})
}

func (c *BasicConstraints) write(b *cryptobyte.Builder) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		if c == nil || !c.CA {
			return // FALSE is the default, which DER leaves out
		}
		b.AddASN1Boolean(true)
		if c.PathLen != nil {
			b.AddASN1Int64(int64(*c.PathLen))
		}
	})
}

// write: GeneralNames of RFC 5280, 4.2.1.6.
func (n *Names) write(b *cryptobyte.Builder) {
	text := func(b *cryptobyte.Builder, tag uint8, values []string) {
		for _, v := range values {
			b.AddASN1(der.Tag(tag).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(v)) })
		}
	}
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, v := range n.UPNs {
			writeUPN(b, v)
		}
		text(b, 1, n.Emails)
		text(b, 2, n.DNS)
		text(b, 6, n.URIs)
		for _, v := range n.IPs {
			a, err := netip.ParseAddr(v)
			if err != nil {
				b.SetError(bad("x509_props.sans.ipAddresses holds %.80q, which is no address", v))
				return
			}
			b.AddASN1(der.Tag(7).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(a.Unmap().AsSlice()) })
		}
	})
}

// writeUPN: otherName [0] { type, [0] UTF8String }.
func writeUPN(b *cryptobyte.Builder, upn string) {
	b.AddASN1(der.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidUPN())
		b.AddASN1(der.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(der.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(upn)) })
		})
	})
}

// keyIdentifier is the first 160 bits of the SHA-256 of the key (RFC 7093, method 1).
func keyIdentifier(pub crypto.PublicKey) ([]byte, error) {
	spki, err := certificate.MarshalPublic(pub)
	if err != nil {
		return nil, fmt.Errorf("encode public key: %w", err)
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(spki, &info); err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	sum := sha256.Sum256(info.Key.Bytes)
	return sum[:20], nil
}
