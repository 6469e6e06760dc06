package ocsp_test

import (
	"context"
	"crypto"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/ocsp"
	"chatelaine.dev/internal/storage/pkidb"
	"chatelaine.dev/internal/storage/storagetest"
)

// lost has authorities whose keys do not sign while broken is set.
type lost struct {
	issuance.Authorities
	broken atomic.Bool
}

// Issuer implements issuance.Authorities.
func (a *lost) Issuer(ctx context.Context, id string) (issuance.Issuer, error) {
	i, err := a.Authorities.Issuer(ctx, id)
	i.Signer = signer{i.Signer, a}
	return i, err
}

type signer struct {
	crypto.Signer
	a *lost
}

// Sign implements crypto.Signer.
func (s signer) Sign(rand io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if s.a.broken.Load() {
		return nil, errors.New("the token is gone")
	}
	return s.Signer.Sign(rand, digest, o)
}

// Each attempt to make a signer takes a serial and leaves records: strangers who ask must
// not fill the database while an authority's key is away.
func TestASignerThatCannotBeMadeIsTriedNowAndThen(t *testing.T) {
	t.Parallel()
	f := newFloor(t, storagetest.SQLite(t))
	c := f.issue()
	a := &lost{Authorities: f.Authorities}
	a.broken.Store(true)
	responder := ocsp.New(ocsp.Deps{Store: pkidb.New(f.db), Authorities: a, Ceremony: f.Ceremony, Now: f.Clock, Log: slog.New(slog.DiscardHandler)})
	der := f.request(serialOf(c), crypto.SHA1)
	attempts := func() int {
		t.Helper()
		list, _, err := f.Issuance.List(t.Context(), access.System("test"), issuance.Filter{Authority: "issuing", State: issuance.Failed}, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}

	for range 5 {
		if r := responder.Respond(t.Context(), "issuing", der); r.Cause == nil {
			t.Fatal("it answers")
		}
	}
	if n := attempts(); n != 1 {
		t.Errorf("5 requests made %d attempts", n)
	}
	a.broken.Store(false)
	f.Set(f.Clock().Add(10 * time.Second))
	if r := responder.Respond(t.Context(), "issuing", der); r.Cause != nil {
		t.Errorf("after it came back: %v", r.Cause)
	}

	// Half of a signer's life later it is to be replaced, and cannot: it goes on.
	a.broken.Store(true)
	f.Set(f.Clock().Add(4 * 24 * time.Hour))
	for range 5 {
		if r := responder.Respond(t.Context(), "issuing", nonceRequest(t, der, []byte("nonce"))); r.Cause != nil {
			t.Errorf("the signer that is there does not answer: %v", r.Cause)
		}
	}
	if n := attempts(); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
}
