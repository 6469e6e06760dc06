package authority

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
)

// CrossSign certifies the name and the key of one authority of ours by another: whoever
// trusts the issuer trusts what the authority issues, and its own certificate stays. It
// carries the authority's name constraints and path length, or narrower ones of limits.
// validity 0: as long as both are valid. fault.Conflict when the way would lead in a circle.
func (s *Service) CrossSign(ctx context.Context, c access.Caller, id, issuer string, validity time.Duration, limits Limits) (Cross, error) {
	for _, at := range []string{id, issuer} {
		if err := s.may(ctx, c, WriteAuthorities, at, "AuthorityCrossSign"); err != nil {
			return Cross{}, err
		}
	}
	for _, at := range []string{id, issuer} {
		a, err := s.public(ctx, at)
		if err == nil && a.State == Revoked { // also where its successor is to be vouched for: who revoked it may have lost the key
			err = fault.New(fault.Conflict, "AuthorityEnded", "authority %s is revoked: it certifies no other one, and none certifies it", at)
		}
		if err != nil {
			return Cross{}, err
		}
	}
	subject, err := s.Issuer(ctx, id)
	if err != nil {
		return Cross{}, err
	}
	above, err := s.Issuer(ctx, issuer)
	if err != nil {
		return Cross{}, err
	}
	if slices.ContainsFunc(append([]*x509.Certificate{above.Certificate}, above.Above...), func(ca *x509.Certificate) bool {
		return belong(ca.PublicKey, subject.Certificate.PublicKey) == nil
	}) {
		return Cross{}, fault.New(fault.Conflict, "Circle", "authority %s is above %s, so it cannot be certified by it", id, issuer)
	}
	t, err := s.crossTemplate(subject.Certificate, above.Certificate, validity, limits)
	if err != nil {
		return Cross{}, err
	}
	if above.Successor == id { // the old key vouches for the new one, which is all that it still does
		above.Active = true
	} else if _, err := s.certifier(ctx, issuer, t); err != nil {
		return Cross{}, err
	}
	var x Cross
	_, err = s.d.Ceremony.Certify(ctx, c, issuance.Order{
		Operation: "AuthorityCrossSign", Issuer: above, Profile: profileName, PublicKey: subject.Signer.Public(), Template: t,
		Also: func(ctx context.Context, made issuance.Certificate) error {
			own, err := x509.ParseCertificate(made.DER)
			if err != nil {
				return err
			}
			x = crossOf(id, own, s.d.Now())
			x.Issuer = issuer
			return s.insertCross(ctx, x)
		},
	})
	if err != nil {
		return Cross{}, fmt.Errorf("cross-sign authority %s by %s: %w", id, issuer, err)
	}
	return x, nil
}

// crossTemplate repeats the authority's own certificate.
func (s *Service) crossTemplate(own, above *x509.Certificate, validity time.Duration, limits Limits) (x509.Certificate, error) {
	from := s.d.Now().UTC().Truncate(time.Second).Add(-backdate)
	if from.Before(above.NotBefore) {
		from = above.NotBefore
	}
	to := own.NotAfter
	if above.NotAfter.Before(to) {
		to = above.NotAfter
	}
	if validity != 0 {
		asked := from.Add(validity.Truncate(time.Second) - time.Second)
		if validity < minValidity || asked.After(to) {
			return x509.Certificate{}, fault.New(fault.Invalid, "ValidityNotAllowed", "a cross certificate is valid for a day or more, and here until %s at most", to.Format(time.RFC3339))
		}
		to = asked
	}
	if !to.After(s.d.Now()) {
		return x509.Certificate{}, fault.New(fault.Conflict, "AuthorityEnded", "one of the two authorities is expired")
	}
	t := x509.Certificate{
		RawSubject: own.RawSubject, Subject: own.Subject, SubjectKeyId: own.SubjectKeyId, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true,
	}
	if err := limits.apply(&t, true); err != nil {
		return t, err
	}
	return t, narrow(&t, own)
}

func crossOf(id string, own *x509.Certificate, now time.Time) Cross {
	sum := sha256.Sum256(own.Raw)
	return Cross{
		Authority: id, Certificate: own.Raw, Serial: issuance.FormatSerial(own.SerialNumber), SHA256: hex.EncodeToString(sum[:]),
		NotBefore: own.NotBefore.UTC(), NotAfter: own.NotAfter.UTC(), CreatedAt: now,
	}
}

// insertCross keeps a further certificate while there is room for one.
func (s *Service) insertCross(ctx context.Context, x Cross) error {
	has, err := s.d.Store.Crosses(ctx, x.Authority)
	if err != nil {
		return err
	}
	if len(has) >= MaxCrosses {
		return fault.New(fault.Conflict, "TooManyCertificates", "authority %s has %d further certificates, which is the most", x.Authority, len(has))
	}
	return s.d.Store.InsertCross(ctx, x)
}

// Crosses returns the further certificates of an authority; fault.NotFound.
func (s *Service) Crosses(ctx context.Context, c access.Caller, id string) ([]Cross, error) {
	if _, err := s.Get(ctx, c, id); err != nil {
		return nil, err
	}
	return s.d.Store.Crosses(ctx, id)
}

// Alternates returns the other ways up from an authority in DER, each from a further
// certificate of it to a root, as Issuer.Chain is. It is public: anyone may ask. Those that
// are revoked or not valid now are left out.
func (s *Service) Alternates(ctx context.Context, id string) ([][][]byte, error) {
	if _, err := s.public(ctx, id); err != nil {
		return nil, err
	}
	list, err := s.d.Store.Crosses(ctx, id)
	if err != nil {
		return nil, err
	}
	now := s.d.Now()
	var ways [][][]byte
	for _, x := range list {
		if x.Revoked || now.Before(x.NotBefore) || now.After(x.NotAfter) {
			continue
		}
		way, err := s.chain(ctx, Authority{ID: id, Parent: x.Issuer, Certificate: x.Certificate, Above: x.Above})
		if err != nil {
			return nil, err
		}
		ways = append(ways, way)
	}
	return ways, nil
}

// Public returns every certificate of our authorities and of those above them in DER,
// other than revoked ones: what ways up are found among.
func (s *Service) Public(ctx context.Context) ([][]byte, error) {
	var out [][]byte
	for after := ""; ; {
		list, err := s.d.Store.Authorities(ctx, after, publicPage)
		if err != nil {
			return nil, err
		}
		for _, a := range list {
			after = a.ID
			if a.State == Pending {
				continue
			}
			if a.State != Revoked {
				out = append(append(out, a.Certificate), a.Outside()...)
			}
			crosses, err := s.d.Store.Crosses(ctx, a.ID)
			if err != nil {
				return nil, err
			}
			for _, x := range crosses {
				if !x.Revoked {
					out = append(append(out, x.Certificate), Authority{Above: x.Above}.Outside()...)
				}
			}
		}
		if len(list) < publicPage {
			return out, nil
		}
	}
}

const publicPage = 200
