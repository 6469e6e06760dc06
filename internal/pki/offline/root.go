// Package offline is an authority on a machine apart, without server and database: it
// makes a root, certifies intermediate authorities and signs CRLs, and everything it does
// is a ceremony of which a signed record stays. Reading and writing files, and the
// encryption of the key, are the caller's.
package offline

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/url"
	"slices"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	crl "chatelaine.dev/internal/pki/revocation/list"
	"chatelaine.dev/internal/pki/weak"
	"chatelaine.dev/internal/vault/keystore"
)

// Key is a private key as PKCS #8 in PEM. It never prints.
type Key []byte

const hidden = "[private key]"

// String hides the key.
func (Key) String() string { return hidden }

// Format hides the key from every verb, %x and %d too.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the key.
func (Key) LogValue() slog.Value { return slog.StringValue(hidden) }

// Root signs on the machine that it was opened on.
type Root struct {
	Certificate *x509.Certificate
	signer      crypto.Signer
	linter      *issuance.Linter
	now         func() time.Time
}

const keyBlock = "PRIVATE KEY"

// Create makes a root and the record of it, which is the first of its log. The Spec's ID
// counts for nothing.
func Create(ctx context.Context, spec authority.Spec, m Minutes, now func() time.Time) (*Root, Key, Record, error) {
	template, err := authority.Template(spec, now(), true)
	if err != nil {
		return nil, nil, Record{}, err
	}
	store := keystore.NewSoftware()
	material, _, err := store.Generate(ctx, spec.Key)
	if err != nil {
		return nil, nil, Record{}, err
	}
	key := Key(pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: material}))
	r, err := open(ctx, material, now)
	if err != nil {
		return nil, nil, Record{}, err
	}
	r.Certificate, err = issuance.Offline(issuance.Order{
		Issuer: issuance.Issuer{ID: "root", Signer: r.signer}, PublicKey: r.signer.Public(), Template: template,
	}, r.linter)
	if err != nil {
		return nil, nil, Record{}, err
	}
	record, err := r.record(nil, m, Record{Operation: CreateRoot, Certificate: pemOf("CERTIFICATE", r.Certificate.Raw)})
	return r, key, record, err
}

// Open opens a root by its key, as Create returned it, and its log.
func Open(ctx context.Context, key Key, log []Record, now func() time.Time) (*Root, error) {
	block, _ := pem.Decode(key)
	if block == nil || block.Type != keyBlock || len(log) == 0 {
		return nil, fault.New(fault.Invalid, "BadKey", "the key file does not hold a private key, or there is no record of how it was made")
	}
	r, err := open(ctx, block.Bytes, now)
	if err != nil {
		return nil, err
	}
	if r.Certificate, err = Verify(log); err != nil {
		return nil, err
	}
	if k, ok := r.Certificate.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(r.signer.Public()) {
		return nil, fault.New(fault.Invalid, "BadKey", "the key is not that of %s", r.Certificate.Subject)
	}
	return r, nil
}

func open(ctx context.Context, material []byte, now func() time.Time) (*Root, error) {
	linter, err := issuance.NewLinter()
	if err != nil {
		return nil, err
	}
	signer, err := keystore.OpenSigner(ctx, keystore.NewSoftware(), material)
	return &Root{signer: signer, linter: linter, now: now}, err
}

// Terms are what a root decides about an intermediate authority.
type Terms struct {
	Validity time.Duration
	authority.Limits
	CRL, Issuer string // addresses of the root's CRL and certificate, for the extensions; may be empty
}

// Certify signs the CSR (PEM or DER) of an intermediate authority, and returns its
// certificate within the record. The name and the key are the CSR's; all else is the terms'.
func (r *Root) Certify(log []Record, csr []byte, terms Terms, m Minutes) (Record, error) {
	if block, _ := pem.Decode(csr); block != nil {
		csr = block.Bytes
	}
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return Record{}, fault.Wrap(err, fault.Invalid, "BadCSR", "the CSR is not readable as PKCS #10")
	}
	if err := request.CheckSignature(); err != nil {
		return Record{}, fault.Wrap(err, fault.Invalid, "BadCSR", "the CSR is not signed by its own key")
	}
	key, err := keystore.AuthoritySpecOf(request.PublicKey)
	if err == nil {
		err = key.CheckAuthority()
	}
	if err == nil {
		err = weak.Check(request.PublicKey)
	}
	if err != nil {
		return Record{}, err
	}
	spec := authority.Spec{CommonName: request.Subject.CommonName, Key: key, Validity: terms.Validity, Limits: terms.Limits}
	t, err := authority.Template(spec, r.now(), false)
	if err != nil {
		return Record{}, err
	}
	t.RawSubject, t.Subject = request.RawSubject, request.Subject
	if t.NotAfter.After(r.Certificate.NotAfter) {
		return Record{}, fault.New(fault.Invalid, "ValidityNotAllowed", "the root itself expires at %s; give a shorter validity", r.Certificate.NotAfter.Format(time.RFC3339))
	}
	if bytes.Equal(request.RawSubject, r.Certificate.RawSubject) {
		return Record{}, fault.New(fault.Invalid, "BadName", "the authority would have the name of its root; give it another")
	}
	for _, a := range []struct {
		text string
		to   *[]string
	}{{terms.CRL, &t.CRLDistributionPoints}, {terms.Issuer, &t.IssuingCertificateURL}} {
		if a.text == "" {
			continue
		}
		if u, err := url.Parse(a.text); err != nil || u.Scheme != "http" || u.Host == "" {
			return Record{}, fault.New(fault.Invalid, "BadAddress", "%.200q is no address such as http://pki.example.com/root.crl", a.text)
		}
		*a.to = []string{a.text}
	}
	made, err := issuance.Offline(issuance.Order{
		Issuer: issuance.Issuer{ID: "root", Certificate: r.Certificate, Signer: r.signer}, PublicKey: request.PublicKey, Template: t,
	}, r.linter)
	if err != nil {
		return Record{}, err
	}
	return r.record(log, m, Record{Operation: Certify, Request: pemOf("CERTIFICATE REQUEST", csr), Certificate: pemOf("CERTIFICATE", made.Raw)})
}

// Revoke signs the root's next CRL, with all that was revoked before and the serials (hex)
// given. It returns the CRL within the record.
func (r *Root) Revoke(log []Record, serials []string, validity time.Duration, m Minutes) (Record, error) {
	if validity < 24*time.Hour || validity > 2*366*24*time.Hour {
		return Record{}, fault.New(fault.Invalid, "ValidityNotAllowed", "a CRL of an offline root is valid for a day up to two years; it must be there when the next ceremony is")
	}
	list, issued, err := state(log)
	if err != nil {
		return Record{}, err
	}
	now := r.now().UTC().Truncate(time.Second)
	for _, text := range serials {
		serial, err := issuance.ParseSerial(text)
		if err != nil {
			return Record{}, err
		}
		n, _ := new(big.Int).SetString(serial, 16)
		switch {
		case !slices.Contains(issued, serial):
			return Record{}, fault.New(fault.NotFound, "UnknownCertificate", "no record of this root has a certificate with the serial %s", serial)
		case slices.ContainsFunc(list, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(n) == 0 }):
			return Record{}, fault.New(fault.Conflict, "AlreadyRevoked", "certificate %s is revoked", serial)
		}
		list = append(list, x509.RevocationListEntry{SerialNumber: n, RevocationTime: now})
	}
	entries, err := entriesOf(list)
	if err != nil {
		return Record{}, err
	}
	der, err := crl.List{Number: int64(len(log) + 1), ThisUpdate: now, NextUpdate: now.Add(validity), Entries: entries}.Sign(r.Certificate, r.signer)
	if err != nil {
		return Record{}, fmt.Errorf("sign the CRL: %w", err)
	}
	return r.record(log, m, Record{Operation: Revoke, CRL: pemOf("X509 CRL", der)})
}

// entriesOf are the entries as a CRL takes them.
func entriesOf(revoked []x509.RevocationListEntry) (crl.Entries, error) {
	var lines []crl.Change
	for _, e := range revoked {
		lines = append(lines, crl.Change{Entry: crl.Entry{Serial: e.SerialNumber.Bytes(), RevokedAt: e.RevocationTime}})
	}
	return crl.Entries{}.With(lines)
}

// state reads from a verified log what is revoked, and which serials there are.
func state(log []Record) (revoked []x509.RevocationListEntry, issued []string, err error) {
	for _, rec := range log {
		switch rec.Operation {
		case Certify:
			c, err := parse(rec.Certificate)
			if err != nil {
				return nil, nil, err
			}
			issued = append(issued, issuance.FormatSerial(c.SerialNumber))
		case Revoke:
			list, err := parseCRL(rec.CRL)
			if err != nil {
				return nil, nil, err
			}
			revoked = list.RevokedCertificateEntries
		}
	}
	return revoked, issued, nil
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
