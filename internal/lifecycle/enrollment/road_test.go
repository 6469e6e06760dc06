package enrollment_test

import (
	"crypto/x509"
	"os"
	"slices"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
	"github.com/google/go-cmp/cmp"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// renew makes a request of the world's caller and runs it to its end.
func renew(t testing.TB, w *World, l lineage.Lineage) enrollment.Request {
	t.Helper()
	r, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
	must(t, err)
	w.Queue.Drain(t)
	return get(t, w, r.ID)
}

func get(t testing.TB, w *World, id string) enrollment.Request {
	t.Helper()
	r, err := w.Requests.Get(t.Context(), w.Caller, id)
	must(t, err)
	return r
}

func lineageOf(t testing.TB, w *World, id string) lineage.Lineage {
	t.Helper()
	l, err := w.Lineages.Get(t.Context(), w.Caller, id)
	must(t, err)
	return l
}

// checkRenewed checks everything that must hold after the program's first certificate
// was replaced by the request.
func checkRenewed(t testing.TB, w *World, p *Program, l lineage.Lineage, r enrollment.Request) {
	t.Helper()
	if r.State != enrollment.Completed {
		t.Fatalf("request is %s at step %s: %s", r.State, r.Step, r.Problem)
	}
	if got := p.Serves(t); got != r.Result.SHA256 || got == SHA256(p.First) {
		t.Errorf("the program serves %s, want %s", got, r.Result.SHA256)
	}
	if d := cmp.Diff([]string{"cert.pem", "key.pem"}, p.Left(t)); d != "" {
		t.Errorf("left beside the files:\n%s", d)
	}
	if n := w.Issued(t); n != 1 {
		t.Errorf("%d certificates were issued, want 1", n)
	}
	l = lineageOf(t, w, l.ID)
	if l.Current.SHA256 != r.Result.SHA256 || l.Current.Version == "" || !l.Due.After(w.Time()) || l.Failures != 0 {
		t.Errorf("lineage: %+v", l)
	}
	members, err := w.Lineages.Members(t.Context(), w.Caller, l.ID)
	must(t, err)
	if len(members) != 2 || members[0].SHA256 != r.Result.SHA256 || members[1].SHA256 != SHA256(p.First) || members[1].Replaced.IsZero() || !members[0].Replaced.IsZero() {
		t.Errorf("members: %+v", members)
	}
	checkInventory(t, w, p, l, r)
	checkVault(t, w, l, r)
}

func checkInventory(t testing.TB, w *World, p *Program, l lineage.Lineage, r enrollment.Request) {
	t.Helper()
	d, err := w.Inventory.Get(t.Context(), w.Caller, r.Result.SHA256)
	must(t, err)
	if d.Lineage != l.ID || d.Owner != "shop" {
		t.Errorf("in the inventory it belongs to %q of %q", d.Lineage, d.Owner)
	}
	served := slices.ContainsFunc(d.Installations, func(i inventoryInstallation) bool { return i.Place == p.Endpoint().Place() && i.Current })
	kept := slices.ContainsFunc(d.Installations, func(i inventoryInstallation) bool { return i.Source == "vault/"+vaulttest.Vault })
	if !served || !kept {
		t.Errorf("installations: %+v", d.Installations)
	}
	old, err := w.Inventory.Get(t.Context(), w.Caller, SHA256(p.First))
	must(t, err)
	if slices.ContainsFunc(old.Installations, func(i inventoryInstallation) bool { return i.Current }) {
		t.Errorf("the old one is still somewhere: %+v", old.Installations)
	}
}

func checkVault(t testing.TB, w *World, l lineage.Lineage, r enrollment.Request) {
	t.Helper()
	list, err := w.Certificates.Versions(t.Context(), w.Caller, object.Ref{Vault: l.Keep.Vault, Name: l.Keep.Name}, object.Page{Limit: 25})
	must(t, err)
	if len(list.Entries) != 1 || list.Entries[0].Version.ID != r.Result.Version {
		t.Errorf("the vault has %d versions", len(list.Entries))
	}
	e, err := w.Store.Request(t.Context(), r.ID)
	must(t, err)
	if len(e.Key) > 0 {
		t.Error("the request still has the private key")
	}
}

func TestAdoptedCertificateIsRenewedInstalledAndProved(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		p := w.NewProgram(t, "shop.example")
		l := w.Adopt(t, p)
		if d := cmp.Diff([]lineage.Endpoint{p.Endpoint()}, l.Targets[0].Endpoints); d != "" {
			t.Errorf("endpoints were not taken from the inventory:\n%s", d)
		}
		if d := cmp.Diff([]string{"shop.example"}, l.Names.DNS); d != "" {
			t.Errorf("names were not taken from the certificate:\n%s", d)
		}

		r := renew(t, w, l)

		checkRenewed(t, w, p, l, r)
		want := []string{
			"LineageAdopt", "RequestCreate", "RequestAdvance key", "RequestAdvance issue", "RequestAdvance keep", "RequestAdvance record",
			"DeploymentStart", "RequestAdvance deploy", "DeploymentAdvance prepare", "DeploymentAdvance install", "DeploymentAdvance activate",
			"DeploymentAdvance verify", "DeploymentAdvance handshake", "DeploymentFinish", "RequestAdvance deploy", "LineageAdvance", "RequestAdvance retire",
		}
		got := slices.DeleteFunc(w.Story(t), func(s string) bool { return s == "RequestGet" })
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("want -, got +:\n%s", d)
		}
		for kind, want := range map[string]int{
			"Chatelaine.LineageAdopted": 1, "Chatelaine.RequestCreated": 1, "Chatelaine.RequestIssued": 1, "Chatelaine.DeploymentStarted": 1,
			"Chatelaine.DeploymentVerified": 1, "Chatelaine.DeploymentCompleted": 1, "Chatelaine.CertificateRenewed": 1, "Chatelaine.RequestCompleted": 1,
		} {
			if got := w.Count(kind); got != want {
				t.Errorf("%d events %s, want %d", got, kind, want)
			}
		}
	})
}

func TestClientsBelieveWhatIsServed(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	p := w.NewProgram(t, "shop.example")
	l := w.Adopt(t, p)

	r := renew(t, w, l)

	e, err := w.Store.Request(t.Context(), r.ID)
	must(t, err)
	leaf, err := x509.ParseCertificate(e.Certificate)
	must(t, err)
	intermediates, roots := x509.NewCertPool(), x509.NewCertPool()
	for _, der := range e.Chain {
		c, err := x509.ParseCertificate(der)
		must(t, err)
		intermediates.AddCert(c)
	}
	for _, der := range w.Roots(t) {
		c, err := x509.ParseCertificate(der)
		must(t, err)
		roots.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: "shop.example", Roots: roots, Intermediates: intermediates, CurrentTime: w.Time()}); err != nil {
		t.Error(err)
	}
}

// Killed at every seam once, the request always ends completed, with one certificate.
func TestKilledAnywhereARequestIsCompletedAndIssuesOnce(t *testing.T) {
	var seams []string
	for n := 1; ; n++ {
		w := New(t, storagetest.SQLite(t))
		p := w.NewProgram(t, "shop.example")
		l := w.Adopt(t, p)
		r, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
		must(t, err)

		w.Fuse.Arm(n)
		w.Queue.Drain(t)

		if w.Fuse.Armed() {
			break
		}
		seams = append(seams, w.Fuse.Where)
		checkRenewed(t, w, p, l, get(t, w, r.ID))
		if t.Failed() {
			t.Fatalf("killed at %d, %s", n, w.Fuse.Where)
		}
	}
	t.Logf("killed at %d seams: %v", len(seams), seams)
	for _, name := range []string{"before issue", "after issue", "before keep", "after keep", "after install", "after activate", "after verify", "after finish", "after inventory", "begin", "commit"} {
		if !slices.Contains(seams, name) {
			t.Errorf("never killed at %q", name)
		}
	}
}

// Killed again and again, it still ends.
func TestKilledAtEveryThirdSeamARequestIsCompleted(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	p := w.NewProgram(t, "shop.example")
	l := w.Adopt(t, p)
	r, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
	must(t, err)
	kills := 0
	for range 500 {
		w.Fuse.Arm(9)
		if !w.Queue.Step(t) {
			break
		}
		if !w.Fuse.Armed() {
			kills++
		}
	}

	checkRenewed(t, w, p, l, get(t, w, r.ID))
	if kills < 5 {
		t.Errorf("killed only %d times", kills)
	}
}

func TestFailedDeploymentIsRolledBackAndTriedAgainWithoutIssuing(t *testing.T) {
	for flag, stage := range map[string]deployment.Stage{"broken": deployment.Activate, "stubborn": deployment.Handshake} {
		t.Run(flag, func(t *testing.T) {
			w := New(t, storagetest.SQLite(t))
			p := w.NewProgram(t, "shop.example")
			l := w.Adopt(t, p)
			p.Touch(t, flag)

			r := renew(t, w, l)

			if r.State != enrollment.Failed || r.Step != enrollment.Deploy {
				t.Fatalf("request is %s at step %s", r.State, r.Step)
			}
			ds, err := w.Deployments.OfRequest(t.Context(), r.ID)
			must(t, err)
			if len(ds) != 1 || ds[0].State != deployment.Failed || ds[0].Failed != stage || ds[0].Problem == "" {
				t.Errorf("deployments: %+v", ds)
			}
			if got := p.Serves(t); got != SHA256(p.First) {
				t.Errorf("the program serves %s, want the old certificate", got)
			}
			if d := cmp.Diff([]string{"cert.pem", "key.pem"}, p.Left(t)); d != "" {
				t.Errorf("left beside the files:\n%s", d)
			}
			if l := lineageOf(t, w, l.ID); l.Current.SHA256 != SHA256(p.First) || l.Failures != 1 || l.Problem == "" {
				t.Errorf("lineage: %+v", l)
			}
			if w.Count("Chatelaine.DeploymentFailed") != 1 || w.Count("Chatelaine.RequestFailed") != 1 {
				t.Error("nobody was told")
			}

			p.Mend(t, flag)
			_, err = w.Requests.Retry(t.Context(), w.Caller, r.ID)
			must(t, err)
			w.Queue.Drain(t)

			checkRenewed(t, w, p, l, get(t, w, r.ID))
		})
	}
}

// Killed at every seam of a deployment that fails, the old certificate is always back.
func TestKilledAnywhereAFailingDeploymentIsRolledBack(t *testing.T) {
	rolledBack := 0
	for n := 1; ; n++ {
		w := New(t, storagetest.SQLite(t))
		p := w.NewProgram(t, "shop.example")
		l := w.Adopt(t, p)
		p.Touch(t, "broken")
		r, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
		must(t, err)

		w.Fuse.Arm(n)
		w.Queue.Drain(t)

		if w.Fuse.Armed() {
			break
		}
		if w.Fuse.Where == "after roll back" || w.Fuse.Where == "before roll back" {
			rolledBack++
		}
		if r = get(t, w, r.ID); r.State != enrollment.Failed || r.Step != enrollment.Deploy {
			t.Fatalf("killed at %s: request is %s at step %s", w.Fuse.Where, r.State, r.Step)
		}
		if got := p.Serves(t); got != SHA256(p.First) {
			t.Fatalf("killed at %s: the program serves %s", w.Fuse.Where, got)
		}
		if d := cmp.Diff([]string{"cert.pem", "key.pem"}, p.Left(t)); d != "" {
			t.Fatalf("killed at %s: left beside the files:\n%s", w.Fuse.Where, d)
		}
		if n := w.Issued(t); n != 1 {
			t.Fatalf("killed at %s: %d certificates issued", w.Fuse.Where, n)
		}
	}
	if rolledBack != 2 {
		t.Errorf("killed %d times around the roll-back", rolledBack)
	}
}

func TestSecondTargetIsNotTouchedWhenTheFirstFails(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	first, second := w.NewProgram(t, "one.example"), w.NewProgram(t, "two.example")
	l := w.Adopt(t, first, func(a *lineage.Adoption) {
		a.Targets = []lineage.Target{first.Target(first.Endpoint()), second.Target(second.Endpoint())}
		a.Names.DNS = []string{"one.example", "two.example"}
	})
	first.Touch(t, "broken")

	r := renew(t, w, l)

	if r.State != enrollment.Failed || second.Serves(t) != SHA256(second.First) {
		t.Errorf("request is %s; the second program serves %s", r.State, second.Serves(t))
	}
	if ds, err := w.Deployments.OfRequest(t.Context(), r.ID); err != nil || len(ds) != 1 {
		t.Errorf("%d deployments, %v", len(ds), err)
	}

	first.Mend(t, "broken")
	second.Touch(t, "broken")
	_, err := w.Requests.Retry(t.Context(), w.Caller, r.ID)
	must(t, err)
	w.Queue.Drain(t)
	if r = get(t, w, r.ID); r.State != enrollment.Failed || first.Serves(t) != r.Result.SHA256 || second.Serves(t) != SHA256(second.First) {
		t.Errorf("request is %s; first %s, second %s", r.State, first.Serves(t), second.Serves(t))
	}

	second.Mend(t, "broken")
	_, err = w.Requests.Retry(t.Context(), w.Caller, r.ID)
	must(t, err)
	w.Queue.Drain(t)
	if r = get(t, w, r.ID); r.State != enrollment.Completed || second.Serves(t) != r.Result.SHA256 || w.Issued(t) != 1 {
		t.Errorf("request is %s; second %s; %d issued", r.State, second.Serves(t), w.Issued(t))
	}
}

func TestTargetMendedInTheLineageIsUsedByTheRetry(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	p := w.NewProgram(t, "shop.example")
	l := w.Adopt(t, p, func(a *lineage.Adoption) {
		a.Targets[0].Place = map[string]any{"fullchain": p.Dir + "/etc/nowhere/cert.pem"}
	})
	r := renew(t, w, l)
	if r.State != enrollment.Failed {
		t.Fatalf("request is %s", r.State)
	}

	l = lineageOf(t, w, l.ID)
	l.Targets[0].Place = p.Target().Place
	l, err := w.Lineages.Update(t.Context(), w.Caller, l)
	must(t, err)
	_, err = w.Requests.Retry(t.Context(), w.Caller, r.ID)
	must(t, err)
	w.Queue.Drain(t)

	checkRenewed(t, w, p, l, get(t, w, r.ID))
}

func TestFirstCertificateOfALineageIsEnrolled(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	l, err := w.Lineages.Create(t.Context(), w.Caller, lineage.Wanted{
		Name: "new service", Profile: "tls-server", Keep: lineage.Keep{Vault: vaulttest.Vault, Name: "new"}, Key: "RSA 2048",
		Names: profileNames("new.example", "192.0.2.7"),
	}, nil)
	must(t, err)

	r := renew(t, w, l)

	if r.Kind != enrollment.Enroll || r.State != enrollment.Completed {
		t.Fatalf("%s request is %s: %s", r.Kind, r.State, r.Problem)
	}
	b, err := (enrollment.Certificates{Service: w.Certificates}).Bundle(t.Context(), access.System("test"), l.Keep, r.Result.Version)
	must(t, err)
	leaf, err := x509.ParseCertificate(b.Certificate)
	must(t, err)
	if leaf.VerifyHostname("new.example") != nil || leaf.VerifyHostname("192.0.2.7") != nil || b.Key.Empty() || len(b.Chain) != 1 {
		t.Errorf("names %v %v, %d in the chain", leaf.DNSNames, leaf.IPAddresses, len(b.Chain))
	}
}

func TestNothingOfARequestLiesOpen(t *testing.T) {
	dir := t.TempDir()
	w := New(t, storagetest.Open(t, storage.Config{Dir: dir}))
	l := w.Adopt(t, w.NewProgram(t, "shop.example"))
	r, err := w.Requests.Create(t.Context(), w.Caller, enrollment.Draft{Lineage: l.ID})
	must(t, err)
	w.Fuse.Arm(4) // after the key is stored, before it is used
	w.Queue.Step(t)
	e, err := w.Store.Request(t.Context(), r.ID)
	must(t, err)
	if len(e.Key) == 0 {
		t.Fatal("the request has no key yet")
	}

	for _, name := range []string{"chatelaine.db", "chatelaine.db-wal"} {
		b, err := os.ReadFile(dir + "/" + name)
		must(t, err)
		if slices.ContainsFunc([][]byte{e.Key, e.Key[len(e.Key)/2:]}, func(k []byte) bool { return contains(b, k) }) {
			t.Errorf("%s holds the private key", name)
		}
	}
}
