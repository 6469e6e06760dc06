// Package cms is the little of the Cryptographic Message Syntax (RFC 5652) that enrolment
// protocols need, within limits: lists of certificates and CRLs, envelopes for one
// recipient with an RSA key, and BER as strangers send it. Signatures are pkcs7's.
package cms

import (
	"bytes"
	"encoding/asn1"

	"chatelaine.dev/internal/fault"
)

// maxMessage bounds every message that is read, in bytes.
const maxMessage = 128 << 10

var (
	oidData      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSigned    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidEnveloped = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}
)

// Certificates is a certs-only message (RFC 5272 section 4.1) of DER certificates.
func Certificates(ders ...[]byte) ([]byte, error) { return List(ders, nil) }

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,optional,tag:0"`
}

// List is a signed-data message without content or signers: certificates and CRLs, DER.
func List(certificates, crls [][]byte) ([]byte, error) {
	type signedData struct {
		Version      int
		Digests      asn1.RawValue
		Content      contentInfo
		Certificates asn1.RawValue `asn1:"optional"`
		CRLs         asn1.RawValue `asn1:"optional"`
		Signers      asn1.RawValue
	}
	none := asn1.RawValue{FullBytes: []byte{0x31, 0}} // an empty SET
	d := signedData{Version: 1, Digests: none, Content: contentInfo{Type: oidData}, Signers: none}
	var err error
	for _, x := range []struct {
		tag  int
		list [][]byte
		to   *asn1.RawValue
	}{{0, certificates, &d.Certificates}, {1, crls, &d.CRLs}} {
		if len(x.list) == 0 {
			continue
		}
		full, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: x.tag, IsCompound: true, Bytes: bytes.Join(x.list, nil)})
		if err != nil {
			return nil, err
		}
		x.to.FullBytes = full
	}
	inner, err := asn1.Marshal(d)
	if err != nil {
		return nil, err
	}
	return wrap(oidSigned, inner)
}

func wrap(kind asn1.ObjectIdentifier, inner []byte) ([]byte, error) {
	return asn1.Marshal(contentInfo{Type: kind, Content: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}})
}

// errUnreadable is the one answer to everything that cannot be read or opened: which it
// was helps only who guesses (RFC 3218).
func errUnreadable() error {
	return fault.New(fault.Invalid, "BadMessage", "the message is not readable, or is encrypted for another key")
}
