package ocsp_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	xocsp "golang.org/x/crypto/ocsp"

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

// An issuer is named by its name and by its key; who has but one of them right is not it.
func TestAnIssuerIsKnownByNameAndKey(t *testing.T) {
	t.Parallel()
	f := newFloor(t, storagetest.SQLite(t))
	c := f.issue()
	der := f.request(serialOf(c), crypto.SHA1)
	q, err := xocsp.ParseRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	for what, hash := range map[string][]byte{"name": q.IssuerNameHash, "key": q.IssuerKeyHash} {
		other := bytes.Replace(der, hash, make([]byte, len(hash)), 1)
		a := f.OCSP.Respond(t.Context(), "issuing", other)
		r, err := xocsp.ParseResponse(a.DER, f.issuer)
		if err != nil || r.Status != xocsp.Unknown || a.NextUpdate != (time.Time{}) {
			t.Errorf("another %s: %+v, %v", what, r, err)
		}
	}
	if r := f.ask(serialOf(c)); r.Status != xocsp.Good {
		t.Errorf("both right: %d", r.Status)
	}
}

// flood is a store in which more changed than is looked at one by one.
type flood struct{ ocsp.Store }

// SerialChanges implements ocsp.Store.
func (s flood) SerialChanges(ctx context.Context, authority string, since int64, limit int) ([]string, int64, error) {
	serials, count, err := s.Store.SerialChanges(ctx, authority, since, limit)
	if len(serials) > 0 {
		serials = slices.Repeat([]string{"ffff"}, limit)
	}
	return serials, count, err
}

func TestManyChangesAtOnceForgetAllAnswers(t *testing.T) {
	t.Parallel()
	f := newFloor(t, storagetest.SQLite(t))
	c := f.issue()
	responder := ocsp.New(ocsp.Deps{Store: flood{pkidb.New(f.db)}, Authorities: f.Authorities, Ceremony: f.Ceremony, Now: f.Clock, Log: slog.New(slog.DiscardHandler)})
	status := func() int {
		t.Helper()
		r, err := xocsp.ParseResponse(responder.Respond(t.Context(), "issuing", f.request(serialOf(c), crypto.SHA1)).DER, f.issuer)
		if err != nil {
			t.Fatal(err)
		}
		return r.Status
	}
	if got := status(); got != xocsp.Good {
		t.Fatalf("status %d", got)
	}
	f.revoke(c, "superseded")
	f.Set(f.Clock().Add(3 * time.Second))
	if got := status(); got != xocsp.Revoked {
		t.Errorf("status %d after the revocation", got)
	}
}
