package deployment_test

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/connector/connectortest"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/object"
	"crypto/x509"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// renewed is a world whose program serves a certificate of ours.
func renewed(t testing.TB, db *storage.DB) (*World, *Program, lineage.Lineage) {
	t.Helper()
	w := New(t, db)
	p := w.NewProgram(t, "shop.example")
	l := w.Adopt(t, p)
	_, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
	must(t, err)
	w.Queue.Drain(t)
	l, err = w.Store.Lineage(t.Context(), l.ID)
	must(t, err)
	if p.Serves(t) != l.Current.SHA256 {
		t.Fatalf("not renewed: %+v", l)
	}
	return w, p, l
}

// deploy installs the current certificate once more.
func deploy(t testing.TB, w *World, l lineage.Lineage) deployment.Deployment {
	t.Helper()
	d, err := w.Deployments.Deploy(t.Context(), w.Caller, l.ID, l.Targets[0].ID)
	must(t, err)
	w.Queue.Drain(t)
	d, err = w.Deployments.Get(t.Context(), w.Caller, d.ID)
	must(t, err)
	return d
}

// spoil replaces the program's files, as somebody does by hand.
func spoil(t testing.TB, p *Program) {
	t.Helper()
	must(t, os.Remove(p.Dir+"/etc/key.pem"))
}

func TestCurrentCertificateIsInstalledOnceMore(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w, p, l := renewed(t, db)
		spoil(t, p)

		d := deploy(t, w, l)

		if d.State != deployment.Completed || d.Verified.IsZero() || len(p.Left(t)) != 2 || w.Issued(t) != 1 {
			t.Errorf("deployment is %s: %s; files %v", d.State, d.Problem, p.Left(t))
		}
	})
}

func TestATargetHasOneDeploymentAtATime(t *testing.T) {
	w, _, l := renewed(t, storagetest.SQLite(t))
	_, err := w.Deployments.Deploy(t.Context(), w.Caller, l.ID, l.Targets[0].ID)
	must(t, err)

	if _, err := w.Deployments.Deploy(t.Context(), w.Caller, l.ID, l.Targets[0].ID); !fault.HasCode(err, "DeploymentUnderWay") {
		t.Errorf("got %v, want DeploymentUnderWay", err)
	}

	// A request that comes to the same target waits for it.
	r, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
	must(t, err)
	w.Queue.Drain(t)
	if r, err = w.Requests.Get(t.Context(), w.Caller, r.ID); err != nil || r.State != enrollment.Completed {
		t.Errorf("request is %s: %s, %v", r.State, r.Problem, err)
	}
}

func TestWhatCannotBeRolledBackIsStuckAndSaysSo(t *testing.T) {
	w, p, l := renewed(t, storagetest.SQLite(t))
	p.Touch(t, "jammed")
	start := w.Time()

	d := deploy(t, w, l)

	if d.State != deployment.Stuck || d.Failed != deployment.Activate || !strings.Contains(d.Problem, "jammed") || !strings.Contains(d.RollBack, "the previous files are back") {
		t.Errorf("deployment is %s, failed at %s: %q, %q", d.State, d.Failed, d.Problem, d.RollBack)
	}
	if w.Count("Chatelaine.DeploymentStuck") != 1 {
		t.Error("nobody was told")
	}
	if took := w.Time().Sub(start); took < 10*time.Minute {
		t.Errorf("given up after %s", took)
	}
}

func TestStuckDeploymentOfARequestIsRolledBackByTheRetry(t *testing.T) {
	w, p, l := renewed(t, storagetest.SQLite(t))
	p.Touch(t, "jammed")
	r, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
	must(t, err)
	w.Queue.Drain(t)
	p.Mend(t, "jammed")

	for range 2 { // the first puts everything back, the second begins anew
		_, err = w.Requests.Retry(t.Context(), w.Caller, r.ID)
		must(t, err)
		w.Queue.Drain(t)
	}

	r, err = w.Requests.Get(t.Context(), w.Caller, r.ID)
	must(t, err)
	if r.State != enrollment.Completed || p.Serves(t) != r.Result.SHA256 || len(p.Left(t)) != 2 {
		t.Errorf("request is %s: %s; files %v", r.State, r.Problem, p.Left(t))
	}
}

func TestFailedPreparationChangesNothing(t *testing.T) {
	w, p, l := renewed(t, storagetest.SQLite(t))
	must(t, os.Rename(p.Dir+"/etc", p.Dir+"/gone"))

	d := deploy(t, w, l)
	if d.State != deployment.Failed || d.Failed != deployment.Prepare {
		t.Errorf("deployment is %s, failed at %s: %s", d.State, d.Failed, d.Problem)
	}
	if p.Serves(t) != l.Current.SHA256 {
		t.Error("the program serves another")
	}
}

// away is a vault that answers only at a certain call.
type away struct {
	deployment.Bundles
	answers, calls int
}

func (a *away) Bundle(ctx context.Context, c access.Caller, k lineage.Keep, version string) (connector.Bundle, error) {
	if a.calls++; a.calls < a.answers {
		return connector.Bundle{}, fault.New(fault.Unavailable, "", "the vault is sealed")
	}
	return a.Bundles.Bundle(ctx, c, k, version)
}

func TestVaultThatIsAwayIsAskedAgain(t *testing.T) {
	for answers, want := range map[int]deployment.State{5: deployment.Completed, 6: deployment.Failed} {
		w, _, l := renewed(t, storagetest.SQLite(t))
		vault := &away{Bundles: w.Deployments.Bundles, answers: answers}
		w.Deployments.Bundles = vault

		d := deploy(t, w, l)

		if d.State != want || vault.calls != 5 {
			t.Errorf("answers at call %d: deployment is %s after %d calls: %s", answers, d.State, vault.calls, d.Problem)
		}
	}
}

func TestEndpointThatDoesNotAnswerProvesNothing(t *testing.T) {
	w, p, l := renewed(t, storagetest.SQLite(t))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	must(t, listener.Close()) // nobody listens there now
	l.Targets[0].Endpoints = append(l.Targets[0].Endpoints, lineage.Endpoint{Host: "127.0.0.1", Port: port})
	l, err = w.Lineages.Update(t.Context(), w.Caller, l)
	must(t, err)
	spoil(t, p)

	d := deploy(t, w, l)

	if d.State != deployment.Failed || d.Failed != deployment.Handshake || !strings.Contains(d.Problem, "does not answer") {
		t.Errorf("deployment is %s, failed at %s: %s", d.State, d.Failed, d.Problem)
	}
	if left := p.Left(t); len(left) != 1 || left[0] != "cert.pem" {
		t.Errorf("not as it was before: %v", left)
	}
}

// A reload takes time: the program serves the new certificate only at the third look.
func TestProgramMayTakeItsTime(t *testing.T) {
	w, p, l := renewed(t, storagetest.SQLite(t))
	r, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
	must(t, err)
	p.Touch(t, "stubborn")
	looks := 0
	w.Deployments.Wait = func(context.Context, time.Duration) error {
		if looks++; looks == 3 {
			for _, name := range []string{"cert.pem", "key.pem"} {
				b, err := os.ReadFile(p.Dir + "/etc/" + name)
				must(t, err)
				must(t, os.WriteFile(p.Dir+"/read/"+name, b, 0o600))
			}
		}
		return nil
	}

	w.Queue.Drain(t)

	r, err = w.Requests.Get(t.Context(), w.Caller, r.ID)
	must(t, err)
	if r.State != enrollment.Completed || looks != 3 || p.Serves(t) != r.Result.SHA256 {
		t.Errorf("request is %s: %s; looked %d times", r.State, r.Problem, looks)
	}
}

func TestServiceThatWantsAClientCertificateIsSeen(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w, _, l := renewed(t, storagetest.SQLite(t))
		b, err := (enrollment.Certificates{Service: w.Certificates}).Bundle(t.Context(), access.System("test"), l.Keep, l.Current.Version)
		must(t, err)
		key, err := x509.ParsePKCS8PrivateKey(b.Key.Reveal())
		must(t, err)
		strict, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
			MaxVersion: version, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: connectortest.NewAuthority(t).Pool(),
			Certificates: []tls.Certificate{{Certificate: [][]byte{b.Certificate}, PrivateKey: key}},
		})
		must(t, err)
		go func() {
			for {
				c, err := strict.Accept()
				if err != nil {
					return
				}
				go func() { _ = c.(*tls.Conn).Handshake(); _ = c.Close() }()
			}
		}()
		l.Targets[0].Endpoints = []lineage.Endpoint{{IP: "127.0.0.1", Port: strict.Addr().(*net.TCPAddr).Port, SNI: "shop.example"}}
		l, err = w.Lineages.Update(t.Context(), w.Caller, l)
		must(t, err)

		d := deploy(t, w, l)

		if d.State != deployment.Completed {
			t.Errorf("%s: deployment is %s: %s", tls.VersionName(version), d.State, d.Problem)
		}
		must(t, strict.Close())
	}
}

func TestKeyThatMayNotLeaveItsVaultIsNotInstalled(t *testing.T) {
	w, p, l := renewed(t, storagetest.SQLite(t))
	no := false
	_, err := w.Certificates.UpdatePolicy(t.Context(), w.Caller, object.Ref{Vault: l.Keep.Vault, Name: l.Keep.Name}, policy.Policy{Key: &policy.KeyProperties{Exportable: &no, Type: "EC", Curve: "P-256"}})
	must(t, err)
	r, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
	must(t, err)

	w.Queue.Drain(t)

	r, err = w.Requests.Get(t.Context(), w.Caller, r.ID)
	must(t, err)
	if r.State != enrollment.Failed || !strings.Contains(r.Problem, "may not leave its vault") || p.Serves(t) != l.Current.SHA256 {
		t.Errorf("request is %s: %s", r.State, r.Problem)
	}
}

func TestLostDeploymentIsFoundAgain(t *testing.T) {
	w, p, l := renewed(t, storagetest.SQLite(t))
	spoil(t, p)
	d, err := w.Deployments.Deploy(t.Context(), w.Caller, l.ID, l.Targets[0].ID)
	must(t, err)
	_, err = w.DB.Exec(t.Context(), `DELETE FROM test_jobs`) // somebody emptied the queue
	must(t, err)
	must(t, w.Deployments.HandleSweep(t.Context(), deployment.SweepArgs{}))
	if w.Queue.Len(t) != 0 {
		t.Fatal("looked at too early")
	}

	w.Advance(20 * time.Minute)
	must(t, w.Deployments.HandleSweep(t.Context(), deployment.SweepArgs{}))
	w.Queue.Drain(t)

	if d, err = w.Deployments.Get(t.Context(), w.Caller, d.ID); err != nil || d.State != deployment.Completed {
		t.Errorf("deployment is %s, %v", d.State, err)
	}
	must(t, w.Deployments.HandleRun(t.Context(), deployment.RunArgs{Deployment: "nonsense"}))
}

func TestAdoptedCertificateCannotBeDeployedBecauseItsKeyIsElsewhere(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	l := w.Adopt(t, w.NewProgram(t, "shop.example"))

	if _, err := w.Deployments.Deploy(t.Context(), w.Caller, l.ID, l.Targets[0].ID); !fault.HasCode(err, "KeyElsewhere") {
		t.Errorf("got %v, want KeyElsewhere", err)
	}
}

func TestNothingIsDoneWithoutTheRight(t *testing.T) {
	w, _, l := renewed(t, storagetest.SQLite(t))
	d := deploy(t, w, l)
	ctx := t.Context()
	if _, err := w.Deployments.Deploy(ctx, w.Caller, l.ID, "nonsense"); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown target: %v", err)
	}
	if _, err := w.Deployments.Deploy(ctx, w.Caller, "nonsense", "target-1"); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown lineage: %v", err)
	}
	if _, err := w.Deployments.Get(ctx, w.Caller, "nonsense"); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown deployment: %v", err)
	}
	list, err := w.Deployments.List(ctx, w.Caller, deployment.Query{Lineage: l.ID, Limit: 10})
	if err != nil || len(list) != 2 {
		t.Errorf("%d deployments, %v", len(list), err)
	}
	w.Deny(deployment.Read)
	w.Deny(deployment.Deploy)

	for name, do := range map[string]func() error{
		"deploy": func() error { _, err := w.Deployments.Deploy(ctx, w.Caller, l.ID, l.Targets[0].ID); return err },
		"get":    func() error { _, err := w.Deployments.Get(ctx, w.Caller, d.ID); return err },
		"list":   func() error { _, err := w.Deployments.List(ctx, w.Caller, deployment.Query{Limit: 10}); return err },
	} {
		if err := do(); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: got %v, want fault.Denied", name, err)
		}
	}
}
