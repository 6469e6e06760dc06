package ocsp

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // names issuers, RFC 6960 section 4.1.1; nothing trusts it
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/issuance"
)

// Deps is what a Responder needs.
type Deps struct {
	Store       Store
	Authorities issuance.Authorities
	Ceremony    *issuance.Ceremony
	Now         func() time.Time
	Log         *slog.Logger
}

// Responder answers. Answers that say good or revoked are signed once and kept until they
// change or half of their life is over, within a bound of memory.
//
// A change of another node is seen within two seconds: before it answers, the responder
// asks the database whether the authority's count of changes moved since it last looked.
type Responder struct {
	d Deps

	mu   sync.RWMutex
	held map[string]*held
}

// New makes a Responder.
func New(d Deps) *Responder { return &Responder{d: d, held: map[string]*held{}} }

const (
	maxHeld  = 1000             // authorities
	look     = 2 * time.Second  // how old the look at the count may be
	maxFresh = 256              // changes of which the answers are dropped one by one
	retry    = 10 * time.Second // between attempts to make a signer: each takes a serial, and strangers ask
)

// held is what is kept of an authority.
type held struct {
	id string
	// The issuer's name and key, by hash: these never change.
	names, keys map[string][]byte

	looked atomic.Int64 // when the count was looked at, µs; 0: to be looked at before the next answer
	told   atomic.Int64 // how often Changed was called
	busy   sync.Mutex   // one who looks, or makes a signer
	count  int64        // of changes; busy
	signer atomic.Pointer[signer]
	failed failure // busy

	kept kept
}

// failure is why no signer could be made, and when.
type failure struct {
	at  time.Time
	err error
}

// Respond answers a request about certificates of an authority. It never fails: what
// goes wrong is an answer too, with its cause.
func (r *Responder) Respond(ctx context.Context, authority string, der []byte) Answer {
	q, err := parse(der)
	if err != nil {
		return refuse(malformedRequest, err)
	}
	h, err := r.of(ctx, authority)
	if fault.Is(err, fault.NotFound) {
		return refuse(unauthorized, err) // RFC 5019 section 2.2.3
	}
	if err != nil {
		return refuse(tryLater, err)
	}
	if err := r.current(ctx, h); err != nil {
		return refuse(tryLater, err)
	}
	now := r.d.Now()
	plain := len(q.certs) == 1 && q.nonce == nil
	if plain {
		if a, ok := h.kept.get(q.certs[0], now); ok {
			return a
		}
	}
	return r.sign(ctx, h, q, plain)
}

// sign makes an answer, and keeps it if it is a plain one.
func (r *Responder) sign(ctx context.Context, h *held, q request, plain bool) Answer {
	s, err := r.signerOf(ctx, h)
	if fault.Is(err, fault.Conflict) { // the authority has ended
		return refuse(unauthorized, err)
	}
	if err != nil {
		return refuse(tryLater, err)
	}
	generation := h.kept.generation() // before the status is read
	now := r.d.Now().UTC().Truncate(time.Second)
	next := now.Add(lifetime)
	if next.After(s.ends) {
		next = s.ends
	}
	singles := make([]single, len(q.certs))
	lasting := true
	for i, id := range q.certs {
		if singles[i], err = r.look(ctx, h, id); err != nil {
			return refuse(tryLater, err)
		}
		settled := singles[i].known && (singles[i].status.Issued || !singles[i].status.RevokedAt.IsZero())
		if lasting = lasting && settled; settled {
			singles[i].expires = next
		}
	}
	out, err := s.response(singles, q.nonce, now)
	if err != nil {
		return refuse(internalError, fmt.Errorf("answer for %s: %w", h.id, err))
	}
	a := Answer{DER: out}
	if !lasting || !plain {
		return a
	}
	a.ThisUpdate, a.NextUpdate = now, next
	sum := sha256.Sum256(out)
	a.Tag = `"` + hex.EncodeToString(sum[:16]) + `"`
	h.kept.put(q.certs[0], a, now.Add(next.Sub(now)/2), generation)
	return a
}

// look finds out about one certificate.
func (r *Responder) look(ctx context.Context, h *held, id certID) (single, error) {
	x := single{id: id}
	name, ok := h.names[id.hash]
	if !ok || !bytes.Equal(name, id.nameHash) || !bytes.Equal(h.keys[id.hash], id.keyHash) {
		return x, nil // another issuer
	}
	status, err := r.d.Store.SerialStatus(ctx, h.id, hex.EncodeToString(id.serial))
	if fault.Is(err, fault.NotFound) {
		return x, nil
	}
	x.known, x.status = true, status
	return x, err
}

// of returns what is kept of an authority.
func (r *Responder) of(ctx context.Context, id string) (*held, error) {
	r.mu.RLock()
	h := r.held[id]
	r.mu.RUnlock()
	if h != nil {
		return h, nil
	}
	issuer, err := r.d.Authorities.Issuer(ctx, id)
	if err != nil {
		return nil, err
	}
	if issuer.Certificate == nil {
		return nil, fault.New(fault.NotFound, "UnknownAuthority", "authority %s has no certificate yet", id)
	}
	if h, err = hold(id, issuer.Certificate); err != nil {
		return nil, err
	}
	if h.count, err = r.d.Store.Revocations(ctx, id); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if earlier := r.held[id]; earlier != nil {
		return earlier, nil
	}
	if len(r.held) >= maxHeld {
		return nil, errors.New("answers are kept for as many authorities as there may be")
	}
	r.held[id] = h
	return h, nil
}

func hold(id string, c *x509.Certificate) (*held, error) {
	bits, err := keyBits(c)
	if err != nil {
		return nil, err
	}
	name1, key1 := sha1.Sum(c.RawSubject), sha1.Sum(bits) //nolint:gosec // see the import
	name256, key256 := sha256.Sum256(c.RawSubject), sha256.Sum256(bits)
	return &held{
		id: id, names: map[string][]byte{oidSHA1: name1[:], oidSHA256: name256[:]}, keys: map[string][]byte{oidSHA1: key1[:], oidSHA256: key256[:]},
	}, nil
}

// Changed says that something was revoked or released at this node: the next answer looks.
func (r *Responder) Changed(authority string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if h := r.held[authority]; h != nil {
		h.told.Add(1)
		h.looked.Store(0)
	}
}

// current makes sure that no kept answer is older than a change that was committed before
// the last look, which is at most two seconds ago. Clocks that go back count as old.
func (r *Responder) current(ctx context.Context, h *held) error {
	now := r.d.Now().UnixMicro()
	if age := now - h.looked.Load(); age >= 0 && age < look.Microseconds() {
		return nil
	}
	h.busy.Lock()
	defer h.busy.Unlock()
	if age := now - h.looked.Load(); age >= 0 && age < look.Microseconds() {
		return nil
	}
	told := h.told.Load()
	if err := r.refresh(ctx, h); err != nil {
		return fmt.Errorf("changes of %s: %w", h.id, err)
	}
	h.looked.Store(now)
	if h.told.Load() != told { // something changed while we looked
		h.looked.Store(0)
	}
	return nil
}

// refresh drops the answers that have changed since the last look.
func (r *Responder) refresh(ctx context.Context, h *held) error {
	serials, count, err := r.d.Store.SerialChanges(ctx, h.id, h.count, maxFresh)
	if err != nil || len(serials) == 0 {
		return err
	}
	if len(serials) < maxFresh {
		h.kept.drop(serials)
		h.count = count
		return nil
	}
	if count, err = r.d.Store.Revocations(ctx, h.id); err != nil { // before all is forgotten
		return err
	}
	h.kept.clear()
	h.count = count
	return nil
}

// signerOf returns the signer, made or replaced when it is time. One that could not be
// replaced is used while it lasts.
func (r *Responder) signerOf(ctx context.Context, h *held) (*signer, error) {
	now := r.d.Now()
	s := h.signer.Load()
	if s != nil && now.Before(s.renew) {
		return s, nil
	}
	h.busy.Lock()
	defer h.busy.Unlock()
	if s = h.signer.Load(); s != nil && now.Before(s.renew) {
		return s, nil
	}
	lasts := s != nil && now.Before(s.ends)
	if age := now.Sub(h.failed.at); h.failed.err == nil || age < 0 || age >= retry {
		next, err := r.newSigner(context.WithoutCancel(ctx), h.id)
		if err == nil {
			h.signer.Store(next)
			h.failed = failure{}
			return next, nil
		}
		h.failed = failure{now, err}
		if lasts {
			r.d.Log.Error("the signer of answers was not replaced; the present one is used until it ends", "authority", h.id, "ends", s.ends, "error", err)
		}
	}
	if lasts {
		return s, nil
	}
	return nil, h.failed.err
}

// Renew replaces the signers that are at half of their life, ahead of the request that
// would wait for it.
func (r *Responder) Renew(ctx context.Context) {
	r.mu.RLock()
	all := make([]*held, 0, len(r.held))
	for _, h := range r.held {
		if s := h.signer.Load(); s != nil && !r.d.Now().Before(s.renew) {
			all = append(all, h)
		}
	}
	r.mu.RUnlock()
	for _, h := range all {
		if _, err := r.signerOf(ctx, h); err != nil {
			r.d.Log.Error("signer of answers", "authority", h.id, "error", err)
		}
	}
}
