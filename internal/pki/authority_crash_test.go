package pki_test

import (
	"context"
	"fmt"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

func (s *store) InsertAuthority(ctx context.Context, a authority.Authority, sealed []byte) error {
	return s.around("InsertAuthority", func() error { return s.Store.InsertAuthority(ctx, a, sealed) })
}

func (s *store) InsertPending(ctx context.Context, a authority.Authority, request, sealed []byte) error {
	return s.around("InsertPending", func() error { return s.Store.InsertPending(ctx, a, request, sealed) })
}

func (s *store) Complete(ctx context.Context, a authority.Authority) error {
	return s.around("Complete", func() error { return s.Store.Complete(ctx, a) })
}

func (s *store) SetState(ctx context.Context, id string, from, to authority.State, successor string) error {
	return s.around("SetState", func() error { return s.Store.SetState(ctx, id, from, to, successor) })
}

func (s *store) InsertCross(ctx context.Context, x authority.Cross) error {
	return s.around("InsertCross", func() error { return s.Store.InsertCross(ctx, x) })
}

// everything returns the certificates of all authorities.
func (w *world) everything() []issuance.Certificate {
	w.t.Helper()
	var out []issuance.Certificate
	for after := ""; ; {
		page, next, err := w.issuance.List(w.t.Context(), somebody, issuance.Filter{}, after, 1000)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, page...)
		if after = next; next == "" {
			return out
		}
	}
}

// consistent checks that all that was signed is known, that every certificate of an
// authority that counts as issued belongs to one, and that everything has its records.
func (w *world) consistent(where string) {
	w.t.Helper()
	rows := w.everything()
	known := map[string]bool{}
	for _, c := range rows {
		tbs := c.TBS
		if c.DER != nil {
			tbs = parse(w.t, c.DER).RawTBSCertificate
		}
		known[string(tbs)] = true
	}
	for _, message := range w.keys.signed {
		if !known[string(message)] && !isOther(message) {
			w.t.Errorf("stopped at %q: a certificate was signed that nobody knows", where)
		}
	}
	list, err := w.authorities.List(w.t.Context(), somebody, "", 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	belongs := map[string]bool{}
	states := map[string]authority.State{}
	for _, a := range list {
		belongs[a.SHA256], states[a.ID] = true, a.State
		crosses, err := w.authorities.Crosses(w.t.Context(), somebody, a.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, x := range crosses {
			belongs[x.SHA256] = true
		}
		if a.State != authority.Pending {
			if i, err := w.authorities.Issuer(w.t.Context(), a.ID); err != nil || i.Signer == nil {
				w.t.Errorf("stopped at %q: authority %s does not open: %v", where, a.ID, err)
			}
		}
	}
	for _, c := range rows {
		if c.Profile == "(authority)" && c.State == issuance.Issued && !belongs[c.SHA256] {
			w.t.Errorf("stopped at %q: certificate %s counts as issued and belongs to no authority", where, c.Serial)
		}
	}
	for _, a := range list {
		if a.Successor != "" && states[a.Successor] != authority.Active {
			w.t.Errorf("stopped at %q: %s leads to %s, which is %q", where, a.ID, a.Successor, states[a.Successor])
		}
	}
	if _, err := w.trail.Verify(w.t.Context(), nil, nil); err != nil {
		w.t.Errorf("stopped at %q: %v", where, err)
	}
}

// isOther tells CRLs and CSRs apart from certificates, which alone begin with a version
// in context tag 0 (RFC 5280 section 4.1).
func isOther(tbs []byte) bool {
	for at := 2; at < min(len(tbs), 6); at++ { // behind the header of the sequence
		if tbs[at] == 0xa0 {
			return false
		}
	}
	return true
}

// The process stops at every seam of what changes authorities. What it was doing is done
// or not done after the restart, never half, and can be done again.
func TestACrashLeavesAuthoritiesWhole(t *testing.T) {
	other := newOutsider(t)
	for name, op := range map[string]struct {
		prepare func(w *world, id string)
		do      func(w *world, id string) error
		done    func(w *world, id string) bool // whether it was done
		seams   []string
	}{
		"create": {
			do: func(w *world, id string) error {
				_, err := w.authorities.CreateIntermediate(w.t.Context(), somebody, "root", spec(id, 0))
				return err
			},
			done:  func(w *world, id string) bool { return w.state(id) == authority.Active },
			seams: []string{"before Intend", "before signature", "after signature", "before Finish", "before InsertAuthority", "record", "emit", "commit"},
		},
		"pending": {
			do: func(w *world, id string) error {
				_, err := w.authorities.CreatePending(w.t.Context(), somebody, pending(id))
				return err
			},
			done:  func(w *world, id string) bool { return w.state(id) == authority.Pending },
			seams: []string{"begin", "before InsertPending", "record", "commit"},
		},
		"import": {
			prepare: func(w *world, id string) {
				if _, err := w.authorities.CreatePending(w.t.Context(), somebody, pending(id)); err != nil {
					w.t.Fatal(err)
				}
			},
			do: func(w *world, id string) error {
				csr, err := w.authorities.Request(w.t.Context(), somebody, id)
				if err != nil {
					return err
				}
				_, err = w.authorities.Import(w.t.Context(), somebody, id, pemText(other.sign(w.t.(*testing.T), csr), other.certificate.Raw))
				return err
			},
			done:  func(w *world, id string) bool { return w.state(id) == authority.Active },
			seams: []string{"begin", "before Complete", "after Complete", "record", "commit"},
		},
		"cross-sign": {
			prepare: func(w *world, id string) {
				if _, err := w.authorities.Create(w.t.Context(), somebody, spec(id, 1)); err != nil {
					w.t.Fatal(err)
				}
			},
			do: func(w *world, id string) error {
				_, err := w.authorities.CrossSign(w.t.Context(), somebody, "issuing", id, 0, authority.Limits{})
				return err
			},
			done: func(w *world, id string) bool {
				list, err := w.authorities.Crosses(w.t.Context(), somebody, "issuing")
				if err != nil {
					w.t.Fatal(err)
				}
				for _, x := range list {
					if x.Issuer == id {
						return true
					}
				}
				return false
			},
			seams: []string{"before signature", "before InsertCross", "after InsertCross", "commit"},
		},
		"succeed": {
			prepare: func(w *world, id string) { w.below("root", spec(id, 0)) },
			do: func(w *world, id string) error {
				_, err := w.authorities.Succeed(w.t.Context(), somebody, id, spec(id+"-next", 0))
				return err
			},
			done: func(w *world, id string) bool {
				old, next := w.state(id) == authority.Superseded, w.state(id+"-next") == authority.Active
				if old != next {
					w.t.Errorf("the old one superseded: %v, the new one active: %v", old, next)
				}
				return next
			},
			seams: []string{"before InsertAuthority", "before SetState", "after SetState", "record", "commit"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			storagetest.Each(t, func(t *testing.T, db *storage.DB) {
				w := newWorld(t, db)
				stops := map[string]bool{}
				for n := 0; ; n++ {
					id := fmt.Sprintf("a-%d", n)
					if op.prepare != nil {
						op.prepare(w, id)
					}
					w.wire.arm(n)
					err := op.do(w, id)
					tripped, where := w.wire.disarm()
					w.restart()
					stops[where] = true
					w.consistent(where)
					if !tripped {
						if err != nil || !op.done(w, id) {
							t.Fatal(err)
						}
						break
					}
					if err == nil {
						t.Errorf("stopped at %q: it counts as done", where)
					}
					if !op.done(w, id) {
						if err := op.do(w, id); err != nil || !op.done(w, id) {
							t.Errorf("stopped at %q: it cannot be done again: %v", where, err)
						}
					}
				}
				for _, seam := range op.seams {
					if !stops[seam] {
						t.Errorf("never stopped at %q", seam)
					}
				}
			})
		})
	}
}

// state returns the state of an authority; empty when there is none.
func (w *world) state(id string) authority.State {
	w.t.Helper()
	a, err := w.authorities.Get(w.t.Context(), somebody, id)
	if err != nil && !fault.Is(err, fault.NotFound) {
		w.t.Fatal(err)
	}
	return a.State
}
