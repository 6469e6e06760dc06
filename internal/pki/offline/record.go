package offline

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/signature"
)

// Operation is what a ceremony was held for.
type Operation string

// The operations.
const (
	CreateRoot Operation = "create-root"
	Certify    Operation = "certify"
	Revoke     Operation = "revoke"
)

// Minutes are what the people who are there say of a ceremony.
type Minutes struct {
	Witnesses []string `json:"witnesses"`
	Note      string   `json:"note,omitempty"`
	Program   string   `json:"program"` // name and version
	Machine   string   `json:"machine"`
}

// Record tells of one ceremony. Each names the one before by its digest, and the root's
// key signs it: a record cannot be changed, left out or put in later without it.
type Record struct {
	Version   int       `json:"version"` // 1
	Number    int       `json:"number"`  // 1, 2, 3…
	Previous  string    `json:"previous,omitempty"`
	Time      time.Time `json:"time"`
	Operation Operation `json:"operation"`
	Root      string    `json:"root"` // SHA-256 of its certificate, hex
	Minutes
	Request     string `json:"request,omitempty"`     // the CSR, PEM
	Certificate string `json:"certificate,omitempty"` // PEM
	CRL         string `json:"crl,omitempty"`         // PEM

	text []byte // as it was written or read, with the signature
}

const (
	signatureBlock = "CEREMONY SIGNATURE"
	maxRecord      = 1 << 20
	maxWitnesses   = 50
)

// Text is the record as its file has it: JSON, then the signature in PEM.
func (r Record) Text() []byte { return r.text }

// Digest is what the next record names this one by, and what witnesses write down.
func (r Record) Digest() string {
	sum := sha256.Sum256(r.text)
	return hex.EncodeToString(sum[:])
}

// record completes and signs a record that follows a log.
func (r *Root) record(log []Record, m Minutes, rec Record) (Record, error) {
	if len(m.Witnesses) == 0 || len(m.Witnesses) > maxWitnesses {
		return Record{}, fault.New(fault.Invalid, "NoWitness", "name 1 to %d people who are there", maxWitnesses)
	}
	sum := sha256.Sum256(r.Certificate.Raw)
	rec.Version, rec.Number, rec.Time, rec.Root, rec.Minutes = 1, len(log)+1, r.now().UTC().Truncate(time.Second), hex.EncodeToString(sum[:]), m
	if len(log) > 0 {
		last := log[len(log)-1]
		rec.Previous = last.Digest()
		if rec.Time.Before(last.Time) {
			return Record{}, fault.New(fault.Invalid, "ClockBehind", "the last ceremony was at %s; set the clock of this machine", last.Time.Format(time.RFC3339))
		}
	}
	body, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return Record{}, err
	}
	body = append(body, '\n')
	signature, err := issuance.SignStatement(r.signer, body)
	if err != nil {
		return Record{}, fmt.Errorf("sign the record: %w", err)
	}
	rec.text = append(body, pem.EncodeToMemory(&pem.Block{Type: signatureBlock, Bytes: signature})...)
	return rec, nil
}

// Parse reads the file of a record. It says nothing about whether it is true: see Verify.
func Parse(text []byte) (Record, error) {
	bad := func(why string) (Record, error) {
		return Record{}, fault.New(fault.Invalid, "BadRecord", "this is no record of a ceremony: %s", why)
	}
	if len(text) > maxRecord {
		return bad("it is too large")
	}
	body, _, err := split(text)
	if err != nil {
		return bad(err.Error())
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	var rec Record
	if err := d.Decode(&rec); err != nil || rec.Version != 1 {
		return bad("it is not written in a way that this version reads")
	}
	rec.text = bytes.Clone(text)
	return rec, nil
}

// split takes a file apart into what is signed and the signature.
func split(text []byte) (body, signature []byte, err error) {
	at := bytes.Index(text, []byte("-----BEGIN "+signatureBlock))
	if at < 0 {
		return nil, nil, fmt.Errorf("it bears no signature")
	}
	block, rest := pem.Decode(text[at:])
	if block == nil || block.Type != signatureBlock || len(bytes.TrimSpace(rest)) > 0 {
		return nil, nil, fmt.Errorf("its signature is not readable")
	}
	return text[:at], block.Bytes, nil
}

// Verify checks a whole log, oldest first, and returns the root's certificate: every
// record is signed by the root, follows the one before, and tells of a certificate or CRL
// that the root has signed for the CSR beside it. What it cannot see is whether the last
// records are missing: compare the number and the digest of the last with what the
// witnesses wrote down, and the root's SHA-256 with what everybody trusts.
func Verify(log []Record) (*x509.Certificate, error) {
	if len(log) == 0 || log[0].Operation != CreateRoot {
		return nil, fault.New(fault.Invalid, "BadRecord", "the first record must be that of the making of the root")
	}
	root, err := parse(log[0].Certificate)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(root.Raw)
	told := past{issued: map[string]bool{}}
	for i, rec := range log {
		wrong := func(why string) error {
			return fault.New(fault.Invalid, "BadRecord", "record %d: %s", i+1, why)
		}
		body, signature, err := split(rec.text)
		if err != nil {
			return nil, wrong(err.Error())
		}
		if err := issuance.CheckStatement(root, body, signature); err != nil {
			return nil, wrong(err.Error())
		}
		previous := ""
		if i > 0 {
			previous = log[i-1].Digest()
		}
		switch {
		case rec.Number != i+1 || rec.Previous != previous:
			return nil, wrong("it does not follow the one before; a record is missing, or the order is another")
		case rec.Root != hex.EncodeToString(sum[:]):
			return nil, wrong("it is of another root")
		case i > 0 && rec.Time.Before(log[i-1].Time):
			return nil, wrong("it is older than the one before")
		}
		if err := rec.holds(root, &told); err != nil {
			return nil, wrong(err.Error())
		}
	}
	return root, nil
}

// past is what the records before one have told.
type past struct {
	issued map[string]bool      // serials
	list   *x509.RevocationList // the last one; nil before
}

// holds checks what a record tells of against those before it, and adds it to them.
func (r Record) holds(root *x509.Certificate, told *past) error {
	switch r.Operation {
	case CreateRoot:
		if r.Number != 1 {
			return fmt.Errorf("the root was made in the first record")
		}
		return signature.CheckFrom(root, root)
	case Certify:
		return r.certifies(root, told)
	case Revoke:
		return r.revokes(root, told)
	}
	return fmt.Errorf("there is no operation %.40q", string(r.Operation))
}

func (r Record) certifies(root *x509.Certificate, told *past) error {
	c, err := parse(r.Certificate)
	if err != nil {
		return err
	}
	if err := signature.CheckFrom(c, root); err != nil {
		return err
	}
	block, _ := pem.Decode([]byte(r.Request))
	if block == nil {
		return fmt.Errorf("the CSR is missing")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	k, ok := csr.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	serial := issuance.FormatSerial(c.SerialNumber)
	if !ok || !k.Equal(c.PublicKey) || !bytes.Equal(csr.RawSubject, c.RawSubject) || told.issued[serial] {
		return fmt.Errorf("the certificate is not the one of the CSR, or its serial was used before")
	}
	told.issued[serial] = true
	return nil
}

// revokes wants a CRL that says more than the one before: what is revoked stays so, and
// nothing is that was not issued.
func (r Record) revokes(root *x509.Certificate, told *past) error {
	list, err := parseCRL(r.CRL)
	if err != nil {
		return err
	}
	if err := signature.CheckListFrom(list, root); err != nil {
		return err
	}
	revoked := map[string]bool{}
	for _, e := range list.RevokedCertificateEntries {
		serial := issuance.FormatSerial(e.SerialNumber)
		if !told.issued[serial] {
			return fmt.Errorf("the CRL has the serial %s, of which no record tells", serial)
		}
		revoked[serial] = true
	}
	if before := told.list; before != nil {
		if list.Number == nil || before.Number == nil || list.Number.Cmp(before.Number) <= 0 {
			return fmt.Errorf("the number of the CRL is not above that of the one before")
		}
		for _, e := range before.RevokedCertificateEntries {
			if serial := issuance.FormatSerial(e.SerialNumber); !revoked[serial] {
				return fmt.Errorf("the CRL leaves out %s, which was revoked", serial)
			}
		}
	}
	told.list = list
	return nil
}

func parse(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fault.New(fault.Invalid, "BadRecord", "a record lacks its certificate")
	}
	return signature.ParseCertificate(block.Bytes)
}

func parseCRL(text string) (*x509.RevocationList, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, fault.New(fault.Invalid, "BadRecord", "a record lacks its CRL")
	}
	return x509.ParseRevocationList(block.Bytes)
}
