// Package issuance is the one road on which a certificate comes into being: authorise,
// check against a profile, record the serial and the bytes to be signed, lint them, sign
// them, record the result. Every protocol and every floor above calls Service.Issue;
// only the Ceremony signs certificates.
package issuance

import (
	"context"
	"crypto"
	"crypto/x509"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/signature"
)

// State is how far a certificate has come.
type State string

// The states. A certificate in any of them may have been signed, and any but a revoked
// one can be revoked: see Ceremony.
const (
	Intended State = "intended" // recorded; if it stays so, the process stopped on the way
	Issued   State = "issued"
	Failed   State = "failed" // refused by a lint, or the signer gave an error
	Revoked  State = "revoked"
)

// Certificate is what is kept of a certificate, from before it is signed.
type Certificate struct {
	Authority string // id of the authority that signs
	Serial    string // lower-case hex, two digits a byte; unique over all authorities
	SHA256    string // of DER, hex; empty until it is issued
	Request   string // id of the request that it answers; may be empty
	Profile   string
	Subject   string // RFC 2253
	Names     profile.Names
	KeySHA256 string // of the SubjectPublicKeyInfo, hex

	State     State
	NotBefore time.Time
	NotAfter  time.Time
	TBS       []byte // to be signed; empty once DER is there, which contains it
	DER       []byte // empty until it is issued
	CreatedAt time.Time
	IssuedAt  time.Time
	Requester string // principal
	Part      int    // of the CRL that it names: 0 for the whole one
	Failure   string // code of what stopped it, in state Failed

	RevokedAt time.Time // in state Revoked
	Reason    string    // RFC 5280 section 5.3.1, such as "keyCompromise"
}

// Target is the certificate's path in records.
func (c Certificate) Target() string {
	return "/authorities/" + c.Authority + "/certificates/" + c.Serial
}

// Store keeps certificates. Its writes join the transaction of ctx.
type Store interface {
	// Intend adds a certificate in state Intended. fault.Conflict when the serial exists,
	// at this or any other authority.
	Intend(ctx context.Context, c Certificate) error
	// Finish turns an intended certificate into an issued one: it sets SHA256, DER and
	// IssuedAt, and drops TBS. fault.Conflict unless it is intended with exactly c.TBS, or
	// when another certificate was issued for the same Request.
	Finish(ctx context.Context, c Certificate) error
	// Fail turns an intended certificate into a failed one. fault.Conflict unless it is intended.
	Fail(ctx context.Context, serial, code string) error
	// CertificateBySerial returns one certificate, or fault.NotFound.
	CertificateBySerial(ctx context.Context, authority, serial string) (Certificate, error)
	// CertificateBySHA256 returns one issued or revoked certificate, or fault.NotFound.
	CertificateBySHA256(ctx context.Context, sha256 string) (Certificate, error)
	// CertificateByRequest returns the one certificate that was issued for a request,
	// revoked or not, or fault.NotFound.
	CertificateByRequest(ctx context.Context, request string) (Certificate, error)
	// Compromised reports whether a certificate of this key, by whichever authority, was
	// revoked with the reason keyCompromise.
	Compromised(ctx context.Context, keySHA256 string) (bool, error)
	// Certificates returns up to limit certificates that pass the filter, newest first
	// and by serial within a microsecond, after the place that the cursor marks.
	Certificates(ctx context.Context, f Filter, after Cursor, limit int) ([]Certificate, error)
}

// Filter selects certificates. Empty fields select everything.
type Filter struct {
	Authority string
	Profile   string
	State     State
}

// Cursor is a place in the list: the certificate that came last. The zero value is the
// beginning.
type Cursor struct {
	CreatedAt time.Time
	Serial    string
}

// Issuer is an authority ready to sign.
type Issuer struct {
	ID string
	// Certificate is the authority's own, or nil when the certificate to be made signs itself.
	Certificate *x509.Certificate
	Chain       [][]byte            // DER, from the authority's own certificate to its root
	Above       []*x509.Certificate // those of Chain without the first
	Signer      crypto.Signer
	Active      bool   // false for one that issues no certificates: revoked, below a revoked one, disabled or superseded
	Successor   string // id of the authority that issues in its place; may be empty
	Partitions  int    // in how many parts its CRL is published besides the whole one
}

// mayIssue refuses what has ended, and roots that are too slow.
func (i Issuer) mayIssue(now time.Time) error {
	if !i.Active || now.After(i.Certificate.NotAfter) {
		return fault.New(fault.Conflict, "AuthorityEnded", "authority %s is revoked, disabled or expired, or one above it is revoked, and it issues nothing; use another, or enable it", i.ID)
	}
	if now.Before(i.Certificate.NotBefore) {
		return fault.New(fault.Conflict, "AuthorityNotBegun", "authority %s is valid from %s on; is the clock of this machine right?", i.ID, i.Certificate.NotBefore.Format(time.RFC3339))
	}
	if signature.RootOnly(i.Certificate.PublicKey) {
		return fault.New(fault.Conflict, "RootSignsAuthorities", "authority %s has a key whose signatures take long, and signs authorities alone; make one below it and name that in the profile", i.ID)
	}
	return nil
}

// Authorities opens authorities. Only this package and revocation may ask: who holds an
// Issuer can sign.
type Authorities interface {
	// Issuer returns an authority by its id; fault.NotFound, or fault.Unavailable while its
	// keystore is away.
	Issuer(ctx context.Context, id string) (Issuer, error)
}
