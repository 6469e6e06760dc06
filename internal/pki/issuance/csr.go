package issuance

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/profile"
)

// maxCSR in bytes. A request with an RSA key and a hundred names has a tenth of it.
const maxCSR = 64 << 10

// read fills the request's key and names from its CSR, if it has one. The signature of
// the CSR is not checked yet.
func (r *Request) read() (*x509.CertificateRequest, error) {
	if len(r.CSR) == 0 {
		if r.PublicKey == nil {
			return nil, fault.New(fault.Invalid, "BadCSR", "there is nothing to certify; send a CSR")
		}
		return nil, nil // a request by key
	}
	if r.PublicKey != nil {
		return nil, fault.New(fault.Invalid, "BadCSR", "send either a CSR or a public key")
	}
	if len(r.CSR) > maxCSR {
		return nil, fault.New(fault.Invalid, "BadCSR", "the CSR has more than 64 KiB")
	}
	der := r.CSR
	if block, rest := pem.Decode(der); block != nil {
		if (block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST") || len(bytes.TrimSpace(rest)) > 0 {
			return nil, fault.New(fault.Invalid, "BadCSR", "the PEM text is not one CERTIFICATE REQUEST")
		}
		der = block.Bytes
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "BadCSR", "the CSR is not readable as PKCS #10")
	}
	r.PublicKey = csr.PublicKey
	if r.Names.Count() > 0 || r.CommonName != "" {
		return csr, nil
	}
	r.CommonName = csr.Subject.CommonName
	if r.Subject == nil {
		r.Subject = profile.SubjectOf(csr.Subject)
	}
	r.Names = profile.Names{DNS: csr.DNSNames, Email: csr.EmailAddresses}
	for _, a := range csr.IPAddresses {
		r.Names.IP = append(r.Names.IP, a.String())
	}
	for _, u := range csr.URIs {
		r.Names.URI = append(r.Names.URI, u.String())
	}
	return csr, nil
}

// keyHash identifies a public key.
func keyHash(pub crypto.PublicKey) (string, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "KeyNotAllowed", "a key of this type cannot be certified")
	}
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:]), nil
}
