package enrollment_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/issuer"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

func web() object.Ref { return object.Ref{Vault: vaulttest.Vault, Name: "web"} }

// register makes the issuer "internal" of the vault stand for a profile.
func register(t testing.TB, w *World, profile string) {
	t.Helper()
	_, err := w.Registered.Set(t.Context(), w.Caller, object.Ref{Vault: vaulttest.Vault, Name: "internal"}, issuer.Request{
		Provider: issuer.Chatelaine, Credentials: &issuer.Credentials{AccountID: profile},
	})
	must(t, err)
}

// create asks the vault for a version of web by the issuer "internal".
func create(t testing.TB, w *World, x509Props string) (certificates.Operation, error) {
	t.Helper()
	var p policy.Policy
	must(t, json.Unmarshal([]byte(`{"issuer":{"name":"internal"},"key_props":{"kty":"EC"},"x509_props":`+x509Props+`}`), &p))
	return w.Certificates.Create(t.Context(), w.Caller, web(), certificates.CreateRequest{Policy: &p})
}

const shop = `{"subject":"CN=shop.example","sans":{"dns_names":["shop.example","www.shop.example"]},"validity_months":3}`

func pendingOf(t testing.TB, w *World) certificates.Operation {
	t.Helper()
	op, err := w.Certificates.Pending(t.Context(), w.Caller, web(), "")
	must(t, err)
	return op
}

// only returns the one request that there is.
func only(t testing.TB, w *World) enrollment.Request {
	t.Helper()
	list, err := w.Requests.List(t.Context(), w.Caller, enrollment.Query{Limit: 10, Kind: enrollment.Certify})
	must(t, err)
	if len(list) != 1 {
		t.Fatalf("%d requests, want 1", len(list))
	}
	return list[0]
}

// checkIssued checks the certificate of the vault against the request that made it.
func checkIssued(t testing.TB, w *World, names ...string) {
	t.Helper()
	r := only(t, w)
	if r.State != enrollment.Completed || r.Requester != w.Caller.Principal {
		t.Fatalf("request of %q is %s at step %s: %s", r.Requester, r.State, r.Step, r.Problem)
	}
	if op := pendingOf(t, w); op.Status != certificates.Completed || op.Error != nil {
		t.Errorf("the operation is %s: %v", op.Status, op.Error)
	}
	c, err := w.Certificates.Get(t.Context(), w.Caller, web())
	must(t, err)
	leaf, err := x509.ParseCertificate(c.Body.Certificate)
	must(t, err)
	if r.Result.SHA256 != SHA256(c.Body.Certificate) || r.Result.Version != c.Version.ID {
		t.Errorf("the vault has another certificate than the request")
	}
	if d := cmp.Diff(names, leaf.DNSNames); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	intermediates, roots := x509.NewCertPool(), x509.NewCertPool()
	for _, der := range c.Body.Chain {
		above, err := x509.ParseCertificate(der)
		must(t, err)
		intermediates.AddCert(above)
	}
	for _, der := range w.Roots(t) {
		root, err := x509.ParseCertificate(der)
		must(t, err)
		roots.AddCert(root)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: names[0], Roots: roots, Intermediates: intermediates, CurrentTime: w.Time()}); err != nil {
		t.Error(err)
	}
	b, err := w.Certificates.Export(t.Context(), w.Caller, web())
	must(t, err)
	if own, err := b.Leaf(); err != nil || !own.Equal(leaf) {
		t.Errorf("the secret's key is not the certificate's: %v", err)
	}
	if n := w.Issued(t); n != 1 {
		t.Errorf("%d certificates were issued, want 1", n)
	}
	if n := w.Count("Microsoft.KeyVault.CertificateNewVersionCreated"); n != 1 {
		t.Errorf("%d events of a new version, want 1", n)
	}
	d, err := w.Inventory.Get(t.Context(), w.Caller, r.Result.SHA256)
	must(t, err)
	if !slices.ContainsFunc(d.Installations, func(i inventoryInstallation) bool { return i.Source == "vault/"+vaulttest.Vault }) {
		t.Errorf("the inventory does not know where it is kept: %+v", d.Installations)
	}
}

func TestVaultsOwnCertificateIsIssuedAndMerged(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		register(t, w, "tls-server")

		op, err := create(t, w, shop)
		must(t, err)
		if op.Status != certificates.InProgress || len(op.Request) == 0 || op.Details == "" || op.Issuer.Name != "internal" {
			t.Errorf("the operation: %+v", op)
		}
		if now := pendingOf(t, w); now.Status != certificates.InProgress || w.Issued(t) != 0 {
			t.Errorf("the operation is %s before anybody worked", now.Status)
		}
		w.Queue.Drain(t)

		checkIssued(t, w, "shop.example", "www.shop.example")
		if _, err := create(t, w, shop); err != nil {
			t.Errorf("a second version: %v", err)
		}
		want := []string{"RequestCreate", "RequestAdvance issue", "RequestAdvance deliver", "RequestAdvance record"}
		got := slices.DeleteFunc(w.Story(t), func(s string) bool { return !strings.HasPrefix(s, "RequestAdvance") && s != "RequestCreate" })
		if d := cmp.Diff(want, got[:4]); d != "" {
			t.Errorf("records (-want +got):\n%s", d)
		}
		if n := len(w.Records(t, "CertificateEnroll")); n != 1 {
			t.Errorf("%d records that the vault got it, want 1", n)
		}
	})
}

// A host name that only stands in the subject is made an alternative name, or no client
// would accept the certificate. The policy stays as it was sent.
func TestCommonNameOfAHostBecomesAnAlternativeName(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	register(t, w, "tls-server")

	_, err := create(t, w, `{"subject":"CN=shop.example, O=Shop","validity_months":3}`)
	must(t, err)
	w.Queue.Drain(t)

	checkIssued(t, w, "shop.example")
	p, err := w.Certificates.Policy(t.Context(), w.Caller, web())
	must(t, err)
	if d := cmp.Diff(&policy.Names{}, p.X509.Names); d != "" {
		t.Errorf("the policy was changed:\n%s", d)
	}
}

// Killed at every seam once, there is one certificate, and it is in the vault.
func TestKilledAnywhereTheVaultGetsItsCertificate(t *testing.T) {
	var seams []string
	for n := 1; ; n++ {
		w := New(t, storagetest.SQLite(t))
		register(t, w, "tls-server")
		_, err := create(t, w, shop)
		must(t, err)

		w.Fuse.Arm(n)
		w.Queue.Drain(t)

		if w.Fuse.Armed() {
			break
		}
		seams = append(seams, w.Fuse.Where)
		checkIssued(t, w, "shop.example", "www.shop.example")
		if t.Failed() {
			t.Fatalf("killed at %d, %s", n, w.Fuse.Where)
		}
	}
	t.Logf("killed at %d seams: %v", len(seams), seams)
	for _, name := range []string{"before issue", "after issue", "before deliver", "after deliver", "after inventory", "begin", "commit"} {
		if !slices.Contains(seams, name) {
			t.Errorf("never killed at %q", name)
		}
	}
}

func TestWhatTheProfileDoesNotAllowIsRefusedAtOnce(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	register(t, w, "tls-server")
	for what, x := range map[string]string{
		"too long a life":   `{"subject":"CN=shop.example","validity_months":24}`,
		"no name":           `{"subject":"O=Shop"}`,
		"a mail address":    `{"subject":"CN=a","sans":{"emails":["a@shop.example"]}}`,
		"a user principal":  `{"subject":"CN=shop.example","sans":{"dns_names":["shop.example"],"upns":["a@shop.example"]}}`,
		"an authority":      `{"subject":"CN=shop.example","basic_constraints":{"ca":true}}`,
		"a foreign subject": `{"subject":"CN=other.example","sans":{"dns_names":["shop.example"]}}`,
	} {
		if _, err := create(t, w, x); !fault.HasCode(err, "BadParameter") || !strings.Contains(err.Error(), "internal refuses") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := w.Certificates.Get(t.Context(), w.Caller, web()); !fault.Is(err, fault.NotFound) {
		t.Errorf("something is left: %v", err)
	}
}

func TestIssuerThatIsNotThereOrNotOursIsRefused(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	set := func(q issuer.Request) {
		t.Helper()
		_, err := w.Registered.Set(t.Context(), w.Caller, object.Ref{Vault: vaulttest.Vault, Name: "internal"}, q)
		must(t, err)
	}
	if _, err := create(t, w, shop); !fault.HasCode(err, "CertificateIssuerNotFound") {
		t.Errorf("not registered: %v", err)
	}
	set(issuer.Request{Provider: issuer.DigiCert})
	if _, err := create(t, w, shop); !fault.HasCode(err, "BadParameter") || !strings.Contains(err.Error(), "DigiCert, which issues nothing here") {
		t.Errorf("DigiCert: %v", err)
	}
	off := false
	set(issuer.Request{Provider: issuer.Chatelaine, Credentials: &issuer.Credentials{AccountID: "tls-server"}, Enabled: &off})
	if _, err := create(t, w, shop); !fault.HasCode(err, "BadParameter") || !strings.Contains(err.Error(), "disabled") {
		t.Errorf("disabled: %v", err)
	}
}

// What ends without a certificate ends in the vault too, with the reason.
func TestVaultIsToldWhyNothingComes(t *testing.T) {
	for what, c := range map[string]struct {
		end  func(t *testing.T, w *World, r enrollment.Request)
		code string
	}{
		"declined": {func(t *testing.T, w *World, r enrollment.Request) {
			_, err := w.Requests.Deny(t.Context(), Approver, r.ID, "no")
			must(t, err)
		}, "RequestDenied"},
		"canceled": {func(t *testing.T, w *World, r enrollment.Request) {
			_, err := w.Requests.Cancel(t.Context(), Approver, r.ID)
			must(t, err)
		}, "RequestCanceled"},
		"forgotten": {func(t *testing.T, w *World, r enrollment.Request) {
			w.Advance(15 * 24 * time.Hour)
			must(t, w.Requests.HandleRun(t.Context(), enrollment.RunArgs{Request: r.ID}))
		}, "RequestExpired"},
		"refused by the issuer": {func(t *testing.T, w *World, r enrollment.Request) {
			o := newOutside(t, w)
			o.fails = func(int) error { return fault.New(fault.Invalid, "NotToday", "the issuer takes no order today") }
			_, err := w.Requests.Approve(t.Context(), Approver, r.ID, "")
			must(t, err)
			w.Queue.Drain(t)
		}, "NotToday"},
	} {
		t.Run(what, func(t *testing.T) {
			w := New(t, storagetest.SQLite(t))
			register(t, w, ApprovedProfile)
			_, err := create(t, w, shop)
			must(t, err)
			w.Queue.Drain(t)
			if op, r := pendingOf(t, w), only(t, w); op.Status != certificates.InProgress || r.State != enrollment.Pending {
				t.Fatalf("before: operation %s, request %s", op.Status, r.State)
			}

			c.end(t, w, only(t, w))

			op := pendingOf(t, w)
			if op.Status != certificates.Failed || op.Error == nil || op.Error.Code != c.code || op.Error.Message == "" || w.Issued(t) != 0 {
				t.Errorf("operation: %+v, error %+v; %d issued", op, op.Error, w.Issued(t))
			}
			if _, err := w.Requests.Retry(t.Context(), w.Caller, only(t, w).ID); !fault.Is(err, fault.Conflict) {
				t.Errorf("a retry that the vault would not take: %v", err)
			}
			w.Issuer = nil
			register(t, w, "tls-server")
			if _, err := create(t, w, shop); err != nil { // the name is free again
				t.Error(err)
			}
		})
	}
}

func TestApprovedCertificateIsIssued(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	register(t, w, ApprovedProfile)
	_, err := create(t, w, shop)
	must(t, err)
	w.Queue.Drain(t)
	if _, err := w.Requests.Approve(t.Context(), w.Caller, only(t, w).ID, ""); !fault.Is(err, fault.Denied) {
		t.Errorf("who wanted it has approved it: %v", err)
	}

	_, err = w.Requests.Approve(t.Context(), Approver, only(t, w).ID, "")
	must(t, err)
	w.Queue.Drain(t)

	checkIssued(t, w, "shop.example", "www.shop.example")
}

// An order that the vault gives up is taken back, and what was issued nonetheless is
// revoked: its key is gone.
func TestGivenUpOrderLeavesNoValidCertificate(t *testing.T) {
	give := map[string]func(t *testing.T, w *World){
		"cancelled": func(t *testing.T, w *World) {
			_, err := w.Certificates.Cancel(t.Context(), w.Caller, web())
			must(t, err)
		},
		"deleted operation": func(t *testing.T, w *World) {
			_, err := w.Certificates.DeletePending(t.Context(), w.Caller, web())
			must(t, err)
		},
		"deleted certificate": func(t *testing.T, w *World) {
			_, err := w.Certificates.Delete(t.Context(), w.Caller, web())
			must(t, err)
		},
	}
	for what, up := range give {
		t.Run(what+" while it waits", func(t *testing.T) {
			w := New(t, storagetest.SQLite(t))
			register(t, w, ApprovedProfile)
			_, err := create(t, w, shop)
			must(t, err)
			up(t, w)
			w.Queue.Drain(t)
			if r := only(t, w); r.State != enrollment.Canceled || w.Issued(t) != 0 {
				t.Errorf("request is %s, %d issued", r.State, w.Issued(t))
			}
		})
		t.Run(what+" while it is issued", func(t *testing.T) {
			w := New(t, storagetest.SQLite(t))
			register(t, w, "tls-server")
			o := newOutside(t, w)
			var revoked []byte
			o.refuse = func(r connector.Revocation) error { revoked = r.Certificate; return nil }
			o.loses = func(int) error { up(t, w); o.loses = nil; return nil }
			_, err := create(t, w, shop)
			must(t, err)
			w.Queue.Drain(t)
			if r := only(t, w); r.State != enrollment.Canceled || r.Problem == "" || SHA256(revoked) != r.Result.SHA256 {
				t.Errorf("request is %s: %s; revoked %d bytes", r.State, r.Problem, len(revoked))
			}
		})
	}
}

// Delivering twice changes nothing, and never revokes what was delivered.
func TestDeliveryIsTakenOnce(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	register(t, w, "tls-server")
	op, err := create(t, w, shop)
	must(t, err)
	w.Queue.Drain(t)
	c, err := w.Certificates.Get(t.Context(), w.Caller, web())
	must(t, err)

	version, err := w.Certificates.Deliver(context.Background(), w.Caller, web(), op.RequestID, [][]byte{c.Body.Certificate})

	if err != nil || version != c.Version.ID {
		t.Errorf("version %s: %v", version, err)
	}
	checkIssued(t, w, "shop.example", "www.shop.example")
	if _, err := w.Certificates.Deliver(context.Background(), w.Caller, web(), "another", nil); !fault.HasCode(err, certificates.NobodyWaits) {
		t.Errorf("another order: %v", err)
	}
}
