package ocsp

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// request is what a client asks (RFC 6960 section 4.1).
type request struct {
	certs []certID
	nonce []byte // the extension's value in DER; nil: there is none
}

// certID names a certificate.
type certID struct {
	raw      []byte // DER, given back as it is
	hash     string // OBJECT IDENTIFIER in DER, without its head
	nameHash []byte
	keyHash  []byte
	serial   []byte // big-endian, without leading zeros
}

// The hashes by which an issuer may be named.
const (
	oidSHA1   = "\x2b\x0e\x03\x02\x1a"
	oidSHA256 = "\x60\x86\x48\x01\x65\x03\x04\x02\x01"
)

const (
	oidNonce          = "\x2b\x06\x01\x05\x05\x07\x30\x01\x02"
	oidResponseTypes  = "\x2b\x06\x01\x05\x05\x07\x30\x01\x04"
	oidServiceLocator = "\x2b\x06\x01\x05\x05\x07\x30\x01\x07"
	oidPreferred      = "\x2b\x06\x01\x05\x05\x07\x30\x01\x08"
)

// Tags that are context-specific and constructed.
const (
	explicit0 asn1.Tag = 0xa0
	explicit1 asn1.Tag = 0xa1
	explicit2 asn1.Tag = 0xa2
)

// parse reads a request. A signature over it is not looked at: everybody may ask.
func parse(der []byte) (request, error) {
	var r request
	var outer, tbs, list cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&outer, asn1.SEQUENCE) || !in.Empty() || !outer.ReadASN1(&tbs, asn1.SEQUENCE) {
		return r, errors.New("this is no OCSPRequest")
	}
	if !outer.SkipOptionalASN1(explicit0) || !outer.Empty() { // optionalSignature
		return r, errors.New("something follows the request")
	}
	var version int
	if !readVersion(&tbs, &version) || version != 0 {
		return r, errors.New("the version is not 1")
	}
	if !tbs.SkipOptionalASN1(explicit1) || !tbs.ReadASN1(&list, asn1.SEQUENCE) { // requestorName
		return r, errors.New("there is no requestList")
	}
	for !list.Empty() {
		if len(r.certs) == maxAsked {
			return r, fmt.Errorf("more than %d certificates in one request", maxAsked)
		}
		id, err := parseOne(&list)
		if err != nil {
			return r, err
		}
		r.certs = append(r.certs, id)
	}
	if len(r.certs) == 0 {
		return r, errors.New("no certificate is asked about")
	}
	return r, r.extensions(&tbs)
}

func readVersion(tbs *cryptobyte.String, version *int) bool {
	if !tbs.PeekASN1Tag(explicit0) {
		return true
	}
	var v cryptobyte.String
	return tbs.ReadASN1(&v, explicit0) && v.ReadASN1Integer(version) && v.Empty()
}

// parseOne reads an element of requestList.
func parseOne(list *cryptobyte.String) (certID, error) {
	var id certID
	var one, raw, content, algorithm, oid, serial cryptobyte.String
	if !list.ReadASN1(&one, asn1.SEQUENCE) || !one.ReadASN1Element(&raw, asn1.SEQUENCE) {
		return id, errors.New("a Request is not readable")
	}
	inner := raw
	if !inner.ReadASN1(&content, asn1.SEQUENCE) || !content.ReadASN1(&algorithm, asn1.SEQUENCE) || !algorithm.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) {
		return id, errors.New("a CertID is not readable")
	}
	if !algorithm.Empty() { // the parameters are NULL, or not there
		var null cryptobyte.String
		if !algorithm.ReadASN1(&null, asn1.NULL) || len(null) > 0 || !algorithm.Empty() {
			return id, errors.New("a hash has parameters")
		}
	}
	var name, key cryptobyte.String
	if !content.ReadASN1(&name, asn1.OCTET_STRING) || !content.ReadASN1(&key, asn1.OCTET_STRING) || !content.ReadASN1(&serial, asn1.INTEGER) || !content.Empty() {
		return id, errors.New("a CertID is not readable")
	}
	if len(name) > 64 || len(key) > 64 || len(oid) > 32 {
		return id, errors.New("a CertID is longer than any hash")
	}
	if len(serial) == 0 || len(serial) > maxSerial || serial[0] >= 0x80 {
		return id, errors.New("a serial is no positive number")
	}
	for len(serial) > 1 && serial[0] == 0 {
		serial = serial[1:]
	}
	id = certID{raw: raw, hash: string(oid), nameHash: name, keyHash: key, serial: serial}
	var ignored request
	return id, ignored.list(&one, explicit0)
}

// extensions reads requestExtensions.
func (r *request) extensions(tbs *cryptobyte.String) error { return r.list(tbs, explicit2) }

// list reads extensions. One that is critical and not known makes the request unreadable.
func (r *request) list(in *cryptobyte.String, tag asn1.Tag) error {
	if in.Empty() {
		return nil
	}
	var wrapped, all cryptobyte.String
	if !in.ReadASN1(&wrapped, tag) || !in.Empty() || !wrapped.ReadASN1(&all, asn1.SEQUENCE) || !wrapped.Empty() {
		return errors.New("the extensions are not readable")
	}
	for !all.Empty() {
		var one, oid, value cryptobyte.String
		var critical bool
		if !all.ReadASN1(&one, asn1.SEQUENCE) || !one.ReadASN1(&oid, asn1.OBJECT_IDENTIFIER) ||
			!one.ReadOptionalASN1Boolean(&critical, asn1.BOOLEAN, false) || !one.ReadASN1(&value, asn1.OCTET_STRING) || !one.Empty() {
			return errors.New("an extension is not readable")
		}
		switch string(oid) {
		case oidNonce:
			var nonce cryptobyte.String
			whole := value
			// RFC 8954 made it an OCTET STRING of 1 to 32 bytes, RFC 9654 of 1 to 128.
			if r.nonce != nil || !value.ReadASN1(&nonce, asn1.OCTET_STRING) || !value.Empty() || len(nonce) < 1 || len(nonce) > maxNonce {
				return fmt.Errorf("a nonce has 1 to %d bytes, and there is one", maxNonce)
			}
			r.nonce = whole
		case oidResponseTypes, oidServiceLocator, oidPreferred:
		default:
			if critical {
				return errors.New("an extension is critical and not known here")
			}
		}
	}
	return nil
}
