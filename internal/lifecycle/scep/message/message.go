// Package message is the messages of SCEP (RFC 8894 section 3): a signature around an
// envelope. It reads what strangers send, within limits, and makes the answers.
package message

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"strings"

	"github.com/smallstep/pkcs7"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/cms"
)

// Type is a messageType (section 3.2.1.2).
type Type string

// The types that are known here.
const (
	CertRep    Type = "3"
	RenewalReq Type = "17"
	PKCSReq    Type = "19"
	CertPoll   Type = "20"
	GetCert    Type = "21"
	GetCRL     Type = "22"
)

// Status is a pkiStatus (section 3.2.1.3).
type Status string

// The statuses.
const (
	Success Status = "0"
	Failure Status = "2"
	Pending Status = "3"
)

// Why is a failInfo (section 3.2.1.4).
type Why string

// The reasons for a failure.
const (
	BadCheck   Why = "1" // the integrity check failed, or it does not decrypt
	BadRequest Why = "2"
	BadCertID  Why = "4"
)

var (
	oidType           = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 2}
	oidStatus         = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 3}
	oidFailInfo       = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 4}
	oidSenderNonce    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 5}
	oidRecipientNonce = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 6}
	oidTransaction    = asn1.ObjectIdentifier{2, 16, 840, 1, 113733, 1, 9, 7}
	oidFailText       = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 24, 1} // RFC 8894 section 3.2.1.5
	oidChallenge      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
)

const (
	maxTransaction  = 128
	maxNonce        = 64
	maxCertificates = 8
	maxChallenge    = 255
)

// Message is a request whose signature is right. Who signed it may be anybody.
type Message struct {
	Type        Type
	Transaction string
	Nonce       []byte
	Signer      *x509.Certificate
	envelope    []byte // DER
}

func errBad(why string) error {
	return fault.New(fault.Invalid, "BadMessage", "the message is no SCEP request: %s", why)
}

// Read reads a request, DER or BER. legacy takes signatures over SHA-1.
func Read(raw []byte, legacy bool) (Message, error) {
	der, err := cms.DER(raw)
	if err != nil {
		return Message{}, err
	}
	p7, err := pkcs7.Parse(der)
	if err != nil || len(p7.Certificates) > maxCertificates || len(p7.Signers) != 1 {
		return Message{}, errBad("it is not signed data with one signer")
	}
	m := Message{Signer: p7.GetOnlySigner(), envelope: p7.Content}
	if m.Signer == nil || len(p7.Signers[0].AuthenticatedAttributes) == 0 {
		return Message{}, errBad("it has not the signer's certificate and signed attributes")
	}
	if !strong(m.Signer.PublicKey) || !digest(p7.Signers[0].DigestAlgorithm.Algorithm, legacy) {
		return Message{}, errBad("it is signed with a key or a digest that is not taken; use SHA-256 and RSA of 2048 to 8192 bits")
	}
	if err := p7.Verify(); err != nil {
		return Message{}, errBad("its signature is wrong")
	}
	for _, a := range []struct {
		kind asn1.ObjectIdentifier
		to   any
	}{{oidType, &m.Type}, {oidTransaction, &m.Transaction}, {oidSenderNonce, &m.Nonce}} {
		if err := p7.UnmarshalSignedAttribute(a.kind, a.to); err != nil {
			return Message{}, errBad("an attribute is missing")
		}
	}
	if m.Transaction == "" || len(m.Transaction) > maxTransaction || len(m.Nonce) == 0 || len(m.Nonce) > maxNonce || len(m.Type) > 2 || strings.ContainsFunc(m.Transaction, unprintable) {
		return Message{}, errBad("an attribute is of a size that none has")
	}
	return m, nil
}

func unprintable(c rune) bool { return c < ' ' || c > '~' }

// Open decrypts what the message holds. Whatever is wrong with it, the error is the same.
func (m Message) Open(o cms.Opener) ([]byte, error) {
	der, err := cms.DER(m.envelope)
	if err != nil {
		return nil, err
	}
	return o.Open(der)
}

// Challenge is the challengePassword of a CSR (RFC 2985 section 5.4.1), or empty.
func Challenge(csr *x509.CertificateRequest) string {
	der, found := cms.Attribute(csr, oidChallenge)
	if !found {
		return ""
	}
	var text string
	if rest, err := asn1.Unmarshal(der, &text); err != nil || len(rest) > 0 || len(text) > maxChallenge {
		return ""
	}
	return text
}

// Serial is the subject of GetCert and GetCRL: whose certificate, and which.
type Serial struct {
	Issuer asn1.RawValue // DER of a name
	Number *big.Int
}

// ReadSerial reads an IssuerAndSerialNumber (section 3.3.4).
func ReadSerial(der []byte) (Serial, error) {
	var s Serial
	if rest, err := asn1.Unmarshal(der, &s); err != nil || len(rest) > 0 || s.Number.Sign() <= 0 || s.Number.BitLen() > 8*20 {
		return s, errBad("it names no certificate")
	}
	return s, nil
}

// Answer is a CertRep.
type Answer struct {
	Status Status
	Why    Why    // of a Failure
	Text   string // of a Failure, for people
	// Content is what a Success holds, encrypted for the client.
	Content []byte
}

// Reply makes the answer to a message (section 3.3.2), signed by the registrar.
func Reply(by cms.Signer, to Message, a Answer) ([]byte, error) {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the process instead
	type attribute struct {
		kind  asn1.ObjectIdentifier
		value any
	}
	values := []attribute{
		{oidTransaction, printable(to.Transaction)}, {oidType, printable(string(CertRep))}, {oidStatus, printable(string(a.Status))},
		{oidSenderNonce, nonce}, {oidRecipientNonce, to.Nonce},
	}
	if a.Status == Failure {
		values = append(values, attribute{oidFailInfo, printable(string(a.Why))},
			attribute{oidFailText, asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(a.Text)}})
	}
	attributes := make([]cms.SignedAttribute, len(values))
	for i, v := range values {
		der, err := asn1.Marshal(v.value)
		if err != nil {
			return nil, err
		}
		attributes[i] = cms.SignedAttribute{Type: v.kind, Value: der}
	}
	return by.Sign(a.Content, attributes...)
}

// printable is a PrintableString, as section 3.2.1 wants it; what has other characters,
// such as an underscore, is UTF-8.
func printable(s string) asn1.RawValue {
	tag := asn1.TagPrintableString
	if strings.ContainsFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(" '()+,-./:=?", c))
	}) {
		tag = asn1.TagUTF8String
	}
	return asn1.RawValue{Tag: tag, Bytes: []byte(s)}
}
