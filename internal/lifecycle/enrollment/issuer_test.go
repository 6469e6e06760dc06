package enrollment_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/connector/connectortest"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/storage/storagetest"
)

// outside is a small real CA elsewhere. It knows an order by its id, as the contract
// wants, and a test tells it how to behave.
type outside struct {
	t      testing.TB
	ca     *connectortest.Authority
	w      *World
	orders map[string]connector.Answer
	issued int
	calls  int

	thinks int                              // how often it answers that it thinks
	silent bool                             // it does not say for how long
	fails  func(call int) error             // before the order is taken
	loses  func(call int) error             // after it is taken: the answer is lost
	spoil  func(*connector.Answer)          // what it sends instead
	change func(template *x509.Certificate) // what it writes into the certificate
	refuse func(connector.Revocation) error // what it says to a revocation
}

func newOutside(t testing.TB, w *World) *outside {
	o := &outside{t: t, ca: connectortest.NewAuthority(t), w: w, orders: map[string]connector.Answer{}}
	w.Issuer = o
	return o
}

func (o *outside) Issue(_ context.Context, order connector.Order) (connector.Answer, error) {
	o.calls++
	if o.fails != nil {
		if err := o.fails(o.calls); err != nil {
			return connector.Answer{}, err
		}
	}
	if _, known := o.orders[order.ID]; !known {
		csr, err := x509.ParseCertificateRequest(order.CSR)
		must(o.t, err)
		must(o.t, csr.CheckSignature())
		template := &x509.Certificate{
			Subject: csr.Subject, DNSNames: csr.DNSNames, IPAddresses: csr.IPAddresses, URIs: csr.URIs, EmailAddresses: csr.EmailAddresses,
			NotBefore: o.w.Time().Add(-time.Minute), NotAfter: o.w.Time().AddDate(0, 3, 0),
		}
		if o.change != nil {
			o.change(template)
		}
		o.issued++
		o.orders[order.ID] = connector.Answer{Certificate: o.ca.Sign(o.t, template, csr.PublicKey).Raw, Chain: [][]byte{o.ca.Issuing.Raw}}
	}
	if o.loses != nil {
		if err := o.loses(o.calls); err != nil {
			return connector.Answer{}, err
		}
	}
	return o.answer(order.ID)
}

func (o *outside) Collect(_ context.Context, token string) (connector.Answer, error) {
	return o.answer(strings.TrimPrefix(token, "order "))
}

func (o *outside) answer(id string) (connector.Answer, error) {
	if o.thinks > 0 {
		o.thinks--
		if o.silent {
			return connector.Answer{Pending: &connector.Pending{Token: "order " + id}}, nil
		}
		return connector.Answer{Pending: &connector.Pending{Token: "order " + id, After: 10 * time.Minute}}, nil
	}
	a := o.orders[id]
	if o.spoil != nil {
		o.spoil(&a)
	}
	return a, nil
}

func (o *outside) Revoke(_ context.Context, r connector.Revocation) error {
	if o.refuse != nil {
		return o.refuse(r)
	}
	return nil
}

func outsideWorld(t testing.TB) (*World, *Program, lineage.Lineage, *outside) {
	w := New(t, storagetest.SQLite(t))
	p := w.NewProgram(t, "shop.example")
	return w, p, w.Adopt(t, p), newOutside(t, w)
}

func TestIssuerMayThink(t *testing.T) {
	w, p, l, o := outsideWorld(t)
	o.thinks = 5
	start := w.Time()

	r := renew(t, w, l)

	if r.State != enrollment.Completed || o.issued != 1 || o.calls != 1 || p.Serves(t) != r.Result.SHA256 {
		t.Errorf("request is %s: %s; %d issued in %d calls", r.State, r.Problem, o.issued, o.calls)
	}
	if took := w.Time().Sub(start); took < 50*time.Minute {
		t.Errorf("asked again too early: done after %s", took)
	}
}

func TestSilentIssuerIsAskedRarelyInTheEnd(t *testing.T) {
	w, _, l, o := outsideWorld(t)
	o.thinks, o.silent = 150, true
	start := w.Time()

	r := renew(t, w, l)

	if took := w.Time().Sub(start); r.State != enrollment.Completed || took < 24*time.Hour {
		t.Errorf("request is %s; asked 150 times in %s", r.State, took)
	}
}

func TestKilledWhileTheIssuerThinksNothingIsOrderedTwice(t *testing.T) {
	for n := 1; ; n++ {
		w, p, l, o := outsideWorld(t)
		o.thinks = 2
		r, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
		must(t, err)

		w.Fuse.Arm(n)
		w.Queue.Drain(t)

		if w.Fuse.Armed() {
			break
		}
		if r = get(t, w, r.ID); r.State != enrollment.Completed || o.issued != 1 || p.Serves(t) != r.Result.SHA256 {
			t.Fatalf("killed at %s: request is %s, %d issued", w.Fuse.Where, r.State, o.issued)
		}
	}
}

func TestIssuerThatIsAwayIsAskedAgainLaterAndLater(t *testing.T) {
	w, _, l, o := outsideWorld(t)
	var asked []time.Time
	o.fails = func(call int) error {
		asked = append(asked, w.Time())
		if call <= 8 {
			return fault.New(fault.Unavailable, "", "away")
		}
		return nil
	}

	r := renew(t, w, l)

	if r.State != enrollment.Completed || o.issued != 1 {
		t.Fatalf("request is %s, %d issued", r.State, o.issued)
	}
	for i := 2; i < len(asked); i++ {
		if before, now := asked[i-1].Sub(asked[i-2]), asked[i].Sub(asked[i-1]); now < before {
			t.Errorf("pause %d is %s after %s", i, now, before)
		}
	}
}

func TestLostAnswersIssueNothingTwice(t *testing.T) {
	w, p, l, o := outsideWorld(t)
	o.loses = func(call int) error {
		if call <= 5 {
			return errors.New("connection reset")
		}
		return nil
	}

	r := renew(t, w, l)

	if r.State != enrollment.Completed || o.issued != 1 || p.Serves(t) != r.Result.SHA256 {
		t.Errorf("request is %s, %d issued in %d calls", r.State, o.issued, o.calls)
	}
}

func TestIssuerThatStaysAwayEndsTheRequestAndARetryGoesOn(t *testing.T) {
	w, p, l, o := outsideWorld(t)
	away := true
	o.loses = func(int) error {
		if away {
			return fault.New(fault.Unavailable, "", "away")
		}
		return nil
	}

	r := renew(t, w, l)
	if r.State != enrollment.Failed || r.Step != enrollment.Issue || o.calls != 20 || !strings.Contains(r.Problem, "away") {
		t.Fatalf("request is %s at step %s after %d calls: %s", r.State, r.Step, o.calls, r.Problem)
	}

	away = false
	_, err := w.Requests.Retry(t.Context(), w.Caller, r.ID)
	must(t, err)
	w.Queue.Drain(t)

	if r = get(t, w, r.ID); r.State != enrollment.Completed || o.issued != 1 || p.Serves(t) != r.Result.SHA256 {
		t.Errorf("request is %s, %d issued", r.State, o.issued)
	}
}

func TestRefusalIsFinal(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Invalid, fault.Denied, fault.NotFound, fault.Conflict} {
		w, p, l, o := outsideWorld(t)
		o.fails = func(int) error { return fault.New(kind, "", "no, because of the name") }

		r := renew(t, w, l)

		if r.State != enrollment.Failed || o.calls != 1 || !strings.Contains(r.Problem, "no, because of the name") || p.Serves(t) != SHA256(p.First) {
			t.Errorf("%s: request is %s after %d calls: %s", kind, r.State, o.calls, r.Problem)
		}
	}
}

func TestCertificateThatWasNotAskedForIsNotUsed(t *testing.T) {
	for name, misbehave := range map[string]func(*outside){
		"other key": func(o *outside) {
			o.spoil = func(a *connector.Answer) {
				leaf, err := x509.ParseCertificate(a.Certificate)
				must(o.t, err)
				key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
				must(o.t, err)
				leaf.SignatureAlgorithm = 0
				a.Certificate = o.ca.Sign(o.t, leaf, key.Public()).Raw
			}
		},
		"more names": func(o *outside) {
			o.change = func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "bank.example") }
		},
		"fewer names":       func(o *outside) { o.change = func(c *x509.Certificate) { c.DNSNames = nil } },
		"other name":        func(o *outside) { o.change = func(c *x509.Certificate) { c.DNSNames = []string{"bank.example"} } },
		"other common name": func(o *outside) { o.change = func(c *x509.Certificate) { c.Subject.CommonName = "bank.example" } },
		"an authority": func(o *outside) {
			o.change = func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }
		},
		"expired":       func(o *outside) { o.change = func(c *x509.Certificate) { c.NotAfter = o.w.Time().Add(-time.Second) } },
		"not yet valid": func(o *outside) { o.change = func(c *x509.Certificate) { c.NotBefore = o.w.Time().Add(time.Hour) } },
		"nothing":       func(o *outside) { o.spoil = func(a *connector.Answer) { a.Certificate = nil } },
		"garbage":       func(o *outside) { o.spoil = func(a *connector.Answer) { a.Certificate = []byte("certificate") } },
		"huge":          func(o *outside) { o.spoil = func(a *connector.Answer) { a.Certificate = make([]byte, 1<<20) } },
		"foreign chain": func(o *outside) {
			o.spoil = func(a *connector.Answer) { a.Chain = [][]byte{connectortest.NewAuthority(o.t).Issuing.Raw} }
		},
		"garbage in the chain": func(o *outside) { o.spoil = func(a *connector.Answer) { a.Chain = [][]byte{{1, 2, 3}} } },
		"endless chain":        func(o *outside) { o.spoil = func(a *connector.Answer) { a.Chain = make([][]byte, 1000) } },
		"empty promise": func(o *outside) {
			o.spoil = func(a *connector.Answer) { a.Pending = &connector.Pending{} }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, p, l, o := outsideWorld(t)
			misbehave(o)

			r := renew(t, w, l)

			if r.State != enrollment.Failed || r.Step != enrollment.Issue || r.Result.SHA256 != "" {
				t.Errorf("request is %s at step %s", r.State, r.Step)
			}
			if p.Serves(t) != SHA256(p.First) {
				t.Error("the program serves it")
			}
			if w.Count("Microsoft.KeyVault.CertificateNewVersionCreated") != 0 {
				t.Error("the vault has it")
			}
		})
	}
}

func TestLongerLifeThanAskedForIsNotUsed(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	p := w.NewProgram(t, "shop.example")
	l := w.Adopt(t, p, func(a *lineage.Adoption) { a.Validity = 30 * 24 * 3600e9 })
	newOutside(t, w)

	if r := renew(t, w, l); r.State != enrollment.Failed {
		t.Errorf("request is %s", r.State)
	}
}

func TestRetryAsksTheIssuerWithTheSameKey(t *testing.T) {
	w, _, l, o := outsideWorld(t)
	o.fails = func(call int) error {
		if call == 1 {
			return fault.New(fault.Denied, "", "your contract has ended")
		}
		return nil
	}
	r := renew(t, w, l)
	before, err := w.Store.Request(t.Context(), r.ID)
	must(t, err)

	_, err = w.Requests.Retry(t.Context(), w.Caller, r.ID)
	must(t, err)
	w.Queue.Drain(t)

	after, err := w.Store.Request(t.Context(), r.ID)
	must(t, err)
	if after.State != enrollment.Completed || !bytes.Equal(before.CSR, after.CSR) {
		t.Errorf("request is %s", after.State)
	}
}
