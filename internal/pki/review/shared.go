package review

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"time"

	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/weak"
)

// chunk is how many moduli are compared at a time. The memory is some hundred bytes for
// each, times the depth of a tree over them.
const chunk = 8192

// moduli are RSA keys that were certified, one after the other, and in which certificates.
type moduli struct {
	keys []*big.Int
	in   []issuance.Certificate // without content
	next issuance.Cursor        // where they go on
	last bool                   // they do not
}

// moduliAfter reads the next RSA keys after a place.
func (s *Service) moduliAfter(ctx context.Context, place issuance.Cursor) (moduli, error) {
	const page = 500
	m := moduli{next: place}
	for {
		if err := ctx.Err(); err != nil {
			return m, err
		}
		list, err := s.Certificates.Certificates(ctx, issuance.Filter{}, m.next, page)
		if err != nil {
			return m, err
		}
		for _, c := range list {
			if len(m.keys) == s.Chunk {
				return m, nil
			}
			m.next = issuance.Cursor{CreatedAt: c.CreatedAt, Serial: c.Serial}
			cert, err := x509.ParseCertificate(c.DER)
			if err != nil {
				continue
			}
			if k, ok := cert.PublicKey.(*rsa.PublicKey); ok {
				m.keys = append(m.keys, k.N)
				m.in = append(m.in, issuance.Certificate{Serial: c.Serial, Authority: c.Authority, Profile: c.Profile, Subject: c.Subject})
			}
		}
		if len(list) < page {
			m.last = true
			return m, nil
		}
	}
}

// shared looks for RSA keys that have a prime in common, over all that was issued before
// the audit was asked for: each chunk in itself, and with every other. No more than two
// chunks are in memory; they are read again for each other, which takes a tenth of a
// second where the comparison takes seconds. A million keys are 122 chunks and 15,000
// comparisons, which is why no single request waits for this.
func (s *Service) shared(ctx context.Context, r Review) (Review, error) {
	begin, first := issuance.Cursor{CreatedAt: r.Queued.Add(time.Microsecond)}, true
	for mine := (moduli{next: begin}); !mine.last; {
		var err error
		if mine, err = s.moduliAfter(ctx, mine.next); err != nil {
			return r, err
		}
		bad := weak.Shared(mine.keys)
		if alone := first && mine.last; !alone {
			if err := s.acrossAll(ctx, begin, mine, bad); err != nil {
				return r, err
			}
		}
		first = false
		if r, err = s.save(ctx, r, sharing(r, mine, bad)); err != nil {
			return r, err
		}
	}
	return r, nil
}

// acrossAll compares a chunk with all others, and marks which of it share a prime.
func (s *Service) acrossAll(ctx context.Context, begin issuance.Cursor, mine moduli, bad []bool) error {
	if len(mine.keys) == 0 {
		return nil
	}
	for other := (moduli{next: begin}); !other.last; {
		var err error
		if other, err = s.moduliAfter(ctx, other.next); err != nil {
			return err
		}
		for at, shares := range weak.Across(mine.keys, other.keys) { // what is in both is passed over
			bad[at] = bad[at] || shares
		}
	}
	return nil
}

// sharing are the findings of a chunk.
func sharing(r Review, mine moduli, bad []bool) (found []Finding) {
	for at, shares := range bad {
		if c := mine.in[at]; shares {
			found = append(found, Finding{
				Review: r.ID, Serial: c.Serial, Rule: "weak_" + weak.SharedPrime, Authority: c.Authority, Profile: c.Profile, Subject: c.Subject,
				Detail: "the RSA key has a prime in common with another, so anyone can find both private keys; revoke it and make a new key with another program",
			})
		}
	}
	return found
}
