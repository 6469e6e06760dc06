package desk_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/desk"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

// counted are one-time passwords that are never used up, so that the desk's own guard is
// what is seen.
type counted struct{ released int }

// Spend implements desk.Passcodes.
func (c *counted) Spend(context.Context, passcode.Use) (passcode.Passcode, error) {
	return passcode.Passcode{}, nil
}

// Release implements desk.Passcodes.
func (c *counted) Release(context.Context, string) error {
	c.released++
	return nil
}

func csr(t testing.TB, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func wish(profile string, der []byte, key string) desk.Wish {
	return desk.Wish{Ask: enrollment.Ask{Door: "est", Profile: profile, CSR: der}, Passcode: "p", Again: key}
}

// caller is a door that speaks for a one-time password.
func caller() access.Caller {
	c := access.System("est")
	c.Correlation = "passcode p"
	return c
}

func TestAPasswordHasOneCertificateWhateverBecomesOfIt(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := New(t, db)
		codes := &counted{}
		d := desk.Desk{Road: w.Requests, Passcodes: codes, Waiting: w.Store, Now: w.Time}
		first := csr(t, "a.example.test")
		made, err := d.Ask(t.Context(), caller(), wish("tls-server", first, "k1"))
		if err != nil || made.State != enrollment.Completed {
			t.Fatalf("%+v, %v", made, err)
		}

		again, err := d.Ask(t.Context(), caller(), wish("tls-server", first, "k1"))
		if err != nil || again.Request != made.Request {
			t.Errorf("the same again: %+v, %v", again, err)
		}
		if _, err := d.Ask(t.Context(), caller(), wish("tls-server", csr(t, "b.example.test"), "k2")); !fault.HasCode(err, "OnceUsed") {
			t.Errorf("another CSR: %v", err)
		}
		if n := w.Issued(t); n != 1 || codes.released != 0 {
			t.Errorf("%d issued; released %d times", n, codes.released)
		}
	})
}

// A client that was refused for what its CSR says can mend the CSR.
func TestAPasswordIsGoodAgainWhenTheCSRWasRefused(t *testing.T) {
	t.Parallel()
	w := New(t, storagetest.SQLite(t))
	codes := &counted{}
	d := desk.Desk{Road: w.Requests, Passcodes: codes, Waiting: w.Store, Now: w.Time}

	if _, err := d.Ask(t.Context(), caller(), wish("tls-server", csr(t, "a_b.example.test"), "k1")); !fault.Is(err, fault.Invalid) {
		t.Fatalf("got %v", err)
	}
	if codes.released != 1 {
		t.Errorf("released %d times", codes.released)
	}
	if made, err := d.Ask(t.Context(), caller(), wish("tls-server", csr(t, "a.example.test"), "k2")); err != nil || made.State != enrollment.Completed {
		t.Errorf("the mended one: %+v, %v", made, err)
	}
}
