package cms

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
)

var (
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
)

// SignedAttribute is signed with a content. Value is DER.
type SignedAttribute struct {
	Type  asn1.ObjectIdentifier
	Value []byte
}

// Signer signs with an RSA key, by PKCS #1 v1.5 over SHA-256.
type Signer struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// Sign makes signed data (RFC 5652 section 5) with the signer's certificate in it. A nil
// content is absent. No time is signed: nobody here would believe it.
func (s Signer) Sign(content []byte, attributes ...SignedAttribute) ([]byte, error) {
	digest := sha256.Sum256(content)
	kind, err := asn1.Marshal(oidData)
	if err != nil {
		return nil, err
	}
	sum, err := asn1.Marshal(digest[:])
	if err != nil {
		return nil, err
	}
	signed, err := setOf(append([]SignedAttribute{{oidContentType, kind}, {oidMessageDigest, sum}}, attributes...))
	if err != nil {
		return nil, err
	}
	signature, err := crypto.SignMessage(s.Key, rand.Reader, signed, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign the message: %w", err)
	}
	inner, err := s.assemble(content, signed, signature)
	if err != nil {
		return nil, err
	}
	return wrap(oidSigned, inner)
}

// setOf encodes attributes as the SET that is signed (section 5.4).
func setOf(list []SignedAttribute) ([]byte, error) {
	type attribute struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}
	set := make([]attribute, len(list))
	for i, a := range list {
		set[i] = attribute{a.Type, []asn1.RawValue{{FullBytes: a.Value}}}
	}
	return asn1.MarshalWithParams(set, "set")
}

func (s Signer) assemble(content, signed, signature []byte) ([]byte, error) {
	type signerInfo struct {
		Version    int
		Signer     issuerAndSerial
		Digest     pkix.AlgorithmIdentifier
		Attributes asn1.RawValue
		Algorithm  pkix.AlgorithmIdentifier
		Signature  []byte
	}
	type signedData struct {
		Version      int
		Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
		Content      contentInfo
		Certificates asn1.RawValue
		Signers      []signerInfo `asn1:"set"`
	}
	encapsulated := contentInfo{Type: oidData}
	if content != nil {
		octets, err := asn1.Marshal(content)
		if err != nil {
			return nil, err
		}
		encapsulated.Content = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: octets}
	}
	implicit := bytes.Clone(signed)
	implicit[0] = 0xa0 // [0] IMPLICIT in the message, SET OF when it is signed
	sha := pkix.AlgorithmIdentifier{Algorithm: oidSHA256}
	return asn1.Marshal(signedData{
		Version: 1, Digests: []pkix.AlgorithmIdentifier{sha}, Content: encapsulated,
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: s.Certificate.Raw},
		Signers: []signerInfo{{
			Version: 1, Signer: issuerAndSerial{asn1.RawValue{FullBytes: s.Certificate.RawIssuer}, new(big.Int).Set(s.Certificate.SerialNumber)},
			Digest: sha, Attributes: asn1.RawValue{FullBytes: implicit},
			// Every client knows this name of the algorithm (RFC 3370 section 3.2), and some no other.
			Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue}, Signature: signature,
		}},
	})
}
