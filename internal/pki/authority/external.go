package authority

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/signature"
	"chatelaine.dev/internal/pki/weak"
	"chatelaine.dev/internal/vault/keystore"
)

// CreatePending makes the key of an authority that somebody else's CA shall certify. Its
// CSR is what that CA gets; Import takes what comes back. Errors as in Create.
func (s *Service) CreatePending(ctx context.Context, c access.Caller, spec Spec) (Authority, error) {
	if err := s.mayCreate(ctx, c, "", spec.ID); err != nil {
		return Authority{}, err
	}
	if err := spec.keyed(false); err != nil {
		return Authority{}, err
	}
	if !spec.none() || spec.Validity != 0 {
		return Authority{}, fault.New(fault.Invalid, "BadConstraint", "the CA that certifies the authority decides its validity and limits; agree on them with whoever runs it")
	}
	if err := s.fresh(ctx, spec.ID); err != nil {
		return Authority{}, err
	}
	material, _, err := s.d.Keystore.Generate(ctx, spec.Key)
	if err != nil {
		return Authority{}, err
	}
	private, err := keystore.OpenSigner(ctx, s.d.Keystore, material)
	if err != nil {
		return Authority{}, err
	}
	name := spec.name()
	subject, err := asn1.Marshal(name.ToRDNSequence())
	if err != nil {
		return Authority{}, err
	}
	request, err := certificateRequest(private, subject)
	if err != nil {
		return Authority{}, fmt.Errorf("CSR of authority %s: %w", spec.ID, err)
	}
	a := Authority{ID: spec.ID, Subject: name.String(), Keystore: s.d.Keystore.Name(), State: Pending, CreatedAt: s.d.Now()}
	err = s.d.Transact(ctx, func(ctx context.Context) error {
		if err := s.d.Store.InsertPending(ctx, a, request, s.d.Sealer.Seal(keyName(a.ID), material)); err != nil {
			return err
		}
		return s.tell(ctx, c, "AuthorityRequest", a, nil)
	})
	return a, err
}

// Request returns a CSR in DER for the name and key of an authority, signed by it: the one
// that a pending authority was made with, or a new one, for another CA to cross-sign.
func (s *Service) Request(ctx context.Context, c access.Caller, id string) ([]byte, error) {
	if err := s.may(ctx, c, ReadAuthorities, id, "AuthorityGet"); err != nil {
		return nil, err
	}
	a, err := s.d.Store.Authority(ctx, id)
	if err != nil {
		return nil, err
	}
	if a.State == Pending {
		return s.d.Store.PendingRequest(ctx, id)
	}
	issuer, err := s.Issuer(ctx, id)
	if err != nil {
		return nil, err
	}
	if signature.RootOnly(issuer.Certificate.PublicKey) {
		return nil, fault.New(fault.Conflict, "KeyNotAllowed", "authority %s has a key that makes no CSR; have another authority of yours cross-sign it, or make a CSR of one below it", id)
	}
	return certificateRequest(issuer.Signer, issuer.Certificate.RawSubject)
}

// certificateRequest is a CSR that asks for what an authority must be (RFC 5280 sections
// 4.2.1.3 and 4.2.1.9). The CA decides about the rest.
func certificateRequest(key crypto.Signer, subject []byte) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		RawSubject: subject,
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}, // CA: true
			{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: []byte{3, 2, 1, 6}},          // keyCertSign, cRLSign
		},
	}, key)
}

// maxImport bounds what Import reads, in bytes.
const maxImport = 256 << 10

// Import takes the certificate that another CA made for an authority's CSR, with those
// above it up to a root, in PEM and in any order. A pending authority becomes active by
// it; one that has a certificate gets a further one. fault.Invalid says which of the
// checks the certificates fail.
func (s *Service) Import(ctx context.Context, c access.Caller, id string, text []byte) (Authority, error) {
	if err := s.may(ctx, c, WriteAuthorities, id, "AuthorityImport"); err != nil {
		return Authority{}, err
	}
	a, err := s.d.Store.Authority(ctx, id)
	if err != nil {
		return Authority{}, err
	}
	certificates, err := readPEM(text)
	if err != nil {
		return Authority{}, err
	}
	private, err := s.signer(ctx, id)
	if err != nil {
		return Authority{}, fmt.Errorf("open authority %s: %w", id, err)
	}
	own, above, err := s.arrange(certificates, private.Public())
	if err != nil {
		return Authority{}, err
	}
	if a.State != Pending {
		return a, s.importCross(ctx, c, a, own, above)
	}
	sum := sha256.Sum256(own.Raw)
	a.Subject, a.Certificate, a.Above, a.State = own.Subject.String(), own.Raw, join(above), Active
	a.Serial, a.SHA256 = issuance.FormatSerial(own.SerialNumber), hex.EncodeToString(sum[:])
	a.NotBefore, a.NotAfter = own.NotBefore.UTC(), own.NotAfter.UTC()
	err = s.d.Transact(ctx, func(ctx context.Context) error {
		if err := s.d.Store.Complete(ctx, a); err != nil {
			return err
		}
		return s.tell(ctx, c, "AuthorityImport", a, own)
	})
	return a, err
}

// importCross keeps a further certificate, which must be for the same name.
func (s *Service) importCross(ctx context.Context, c access.Caller, a Authority, own *x509.Certificate, above []*x509.Certificate) error {
	has, err := signature.ParseCertificate(a.Certificate)
	if err != nil {
		return err
	}
	if !bytes.Equal(has.RawSubject, own.RawSubject) || !bytes.Equal(has.SubjectKeyId, own.SubjectKeyId) {
		return fault.New(fault.Invalid, "BadChain", "the certificate is for %s with another key id than the one of authority %s; the name and the key id must stay the same, byte for byte", own.Subject, a.ID)
	}
	x := crossOf(a.ID, own, s.d.Now())
	x.Above = join(above)
	if x.SHA256 == a.SHA256 {
		return fault.New(fault.Conflict, "CertificateExists", "authority %s has this certificate", a.ID)
	}
	return s.d.Transact(ctx, func(ctx context.Context) error {
		if err := s.insertCross(ctx, x); err != nil {
			return err
		}
		return s.tell(ctx, c, "AuthorityImport", a, own)
	})
}

func readPEM(text []byte) ([]*x509.Certificate, error) {
	if len(text) > maxImport {
		return nil, fault.New(fault.Invalid, "BadChain", "the certificates have more than %d KiB", maxImport>>10)
	}
	var out []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" || len(out) > maxDepth {
			return nil, fault.New(fault.Invalid, "BadChain", "send up to %d blocks CERTIFICATE and nothing else", maxDepth+1)
		}
		c, err := signature.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "BadChain", "one of the certificates is not readable")
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Invalid, "BadChain", "there is no certificate in PEM")
	}
	return out, nil
}

// arrange finds the certificate of a key and the way from it to a root, and checks all
// that a verifier will: signatures, validity, constraints and usages.
func (s *Service) arrange(certificates []*x509.Certificate, key crypto.PublicKey) (own *x509.Certificate, above []*x509.Certificate, err error) {
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range certificates {
		switch {
		case belong(c.PublicKey, key) == nil:
			if own != nil {
				return nil, nil, fault.New(fault.Invalid, "BadChain", "two of the certificates are for the authority's key; import one after the other")
			}
			own = c
		case bytes.Equal(c.RawIssuer, c.RawSubject):
			roots.AddCert(c)
		default:
			others.AddCert(c)
		}
	}
	if own == nil {
		return nil, nil, fault.New(fault.Invalid, "BadChain", "no certificate is for the authority's key; was it made for another CSR?")
	}
	if err := authorityLike(own); err != nil {
		return nil, nil, err
	}
	vouched := s.vouch(certificates, roots)
	ways, err := own.Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, CurrentTime: s.d.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Invalid, "BadChain", "the certificates do not lead to a root; send each one up to it, valid now ("+err.Error()+")")
	}
	way := slices.MinFunc(ways, func(a, b []*x509.Certificate) int { return len(a) - len(b) })
	if root := vouched[way[len(way)-1]]; root != nil {
		way = append(way, root)
	}
	if len(way) > maxDepth {
		return nil, nil, fault.New(fault.Invalid, "BadChain", "there are more than %d certificates on the way to the root", maxDepth)
	}
	for _, c := range way[1:] { // what Go does not enforce we cannot enforce when issuing
		if err := authorityLike(c); err != nil {
			return nil, nil, err
		}
		if err := weak.Check(c.PublicKey); err != nil {
			return nil, nil, fault.Wrap(err, fault.Invalid, "WeakKey", fmt.Sprintf("the certificate of %s: %s", c.Subject, fault.Of(err).Message))
		}
	}
	if len(way) > 1 { // Verify would notice only with the certificates that the authority issues
		over := issuance.Issuer{ID: way[1].Subject.String(), Certificate: way[1], Above: way[2:]}
		if err := over.CheckPath(0); err != nil {
			return nil, nil, fault.Wrap(err, fault.Invalid, "BadChain", err.Error())
		}
	}
	return own, way[1:], nil
}

// vouch adds to roots the certificates that one with a key of SLH-DSA has signed, which
// crypto/x509 cannot tell, and returns by whom each of them was.
func (s *Service) vouch(certificates []*x509.Certificate, roots *x509.CertPool) map[*x509.Certificate]*x509.Certificate {
	by, now := map[*x509.Certificate]*x509.Certificate{}, s.d.Now()
	for _, root := range certificates {
		if !signature.RootOnly(root.PublicKey) || !bytes.Equal(root.RawIssuer, root.RawSubject) || now.Before(root.NotBefore) || now.After(root.NotAfter) {
			continue
		}
		for _, c := range certificates {
			if c != root && bytes.Equal(c.RawIssuer, root.RawSubject) && signature.CheckFrom(c, root) == nil {
				roots.AddCert(c)
				by[c] = root
			}
		}
	}
	return by
}

// authorityLike wants what a certificate of an authority must have (RFC 5280 sections
// 4.2.1.2, 4.2.1.3 and 4.2.1.9), and nothing critical that we do not understand.
func authorityLike(c *x509.Certificate) error {
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return fault.New(fault.Invalid, "BadChain", "the certificate of %s is not one of an authority (basicConstraints CA)", c.Subject)
	case c.KeyUsage != 0 && (c.KeyUsage&x509.KeyUsageCertSign == 0 || c.KeyUsage&x509.KeyUsageCRLSign == 0):
		return fault.New(fault.Invalid, "BadChain", "the key of %s may not sign certificates and CRLs (keyUsage)", c.Subject)
	case len(c.SubjectKeyId) == 0:
		return fault.New(fault.Invalid, "BadChain", "the certificate of %s has no subject key identifier", c.Subject)
	case len(c.UnhandledCriticalExtensions) > 0:
		return fault.New(fault.Invalid, "BadChain", "the certificate of %s has the critical extension %s, which cannot be enforced here", c.Subject, c.UnhandledCriticalExtensions[0])
	}
	return nil
}

func join(certificates []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certificates {
		out = append(out, c.Raw...)
	}
	return out
}

// tell records what was done to an authority; certificate is what came or was made, or nil.
func (s *Service) tell(ctx context.Context, c access.Caller, operation string, a Authority, certificate *x509.Certificate) error {
	r := c.Record(operation, "/authorities/"+a.ID)
	r.Details[audit.Subject] = a.Subject
	if certificate != nil {
		sum := sha256.Sum256(certificate.Raw)
		r.Details[audit.Fingerprint] = hex.EncodeToString(sum[:])
		r.Details[audit.Serial] = issuance.FormatSerial(certificate.SerialNumber)
	}
	if a.Successor != "" {
		r.Details[audit.Issuer] = a.Successor
	}
	return s.d.Audit.Record(ctx, r)
}
