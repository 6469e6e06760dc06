package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/crypto/ocsp"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/storage/storagetest"
)

// A signer of answers is made with others' certificates in one commit as well as alone.
func TestSignersOfAnswersAreInNoInventory(t *testing.T) {
	ctx := t.Context()
	c := config.Default()
	c.Data, c.Listen, c.Status = t.TempDir(), "127.0.0.1:0", "off"
	a, err := Open(ctx, Config{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	issuing, err := a.Authorities.Certificate(ctx, issuingAuthority)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := x509.ParseCertificate(issuing)
	if err != nil {
		t.Fatal(err)
	}
	ask, err := ocsp.CreateRequest(issuer, issuer, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer := a.OCSP.Respond(ctx, issuingAuthority, ask); answer.Cause != nil {
		t.Fatal(answer.Cause)
	}
	made, _, err := a.Issuance.List(ctx, feed, issuance.Filter{Authority: issuingAuthority}, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var list []event.Event
	signers := 0
	for _, m := range made {
		data, err := json.Marshal(map[string]string{"authority": m.Authority, "serial": m.Serial, "profile": m.Profile})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, event.Event{Time: m.IssuedAt, Data: data})
		if strings.Contains(m.Subject, "OCSP") {
			signers++
		}
	}
	if signers == 0 || len(list) == signers {
		t.Fatalf("%d certificates, %d of them signers", len(list), signers)
	}

	if err := a.issuedTogether(ctx, list); err != nil {
		t.Fatal(err)
	}

	page, err := a.Inventory.List(ctx, feed, inventory.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range page.Certificates {
		if strings.Contains(x.Subject, "OCSP") {
			t.Errorf("the inventory has %s", x.Subject)
		}
	}
	if len(page.Certificates) == 0 {
		t.Error("the inventory has nothing")
	}
}

func TestACertificateIsInTheInventoryWhenItIsHandedOut(t *testing.T) {
	for name, address := range map[string]func(t *testing.T) string{"sqlite": func(*testing.T) string { return "" }, "postgresql": func(t *testing.T) string { return storagetest.Postgres(t) }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			c := config.Default()
			c.Data, c.Listen, c.Status, c.Database = t.TempDir(), "127.0.0.1:0", "off", address(t)
			a, err := Open(ctx, Config{Config: c, Log: slog.New(slog.DiscardHandler)}) // its jobs do not run
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			})
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"at.once.example.com"}}, key)
			if err != nil {
				t.Fatal(err)
			}

			made, err := a.Requests.Enroll(ctx, access.System("test"), enrollment.Ask{Door: "rest", Profile: "tls-server", CSR: csr, Owner: "shop"})
			if err != nil {
				t.Fatal(err)
			}

			sum := sha256.Sum256(made.Certificate)
			x, err := a.Inventory.Get(ctx, feed, hex.EncodeToString(sum[:]))
			if err != nil || x.Owner != "shop" || x.Trust != inventory.Private {
				t.Errorf("%q, %s, %v", x.Owner, x.Trust, err)
			}
		})
	}
}

func TestTheFirstStartHasOneThingToSay(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	c := config.Default()
	c.Data, c.Listen, c.Status = t.TempDir(), "127.0.0.1:0", "off"
	a, err := Open(t.Context(), Config{Config: c, Log: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if text := said.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "a root key was made") {
		t.Errorf("it warns of more than the root key:\n%s", text)
	}
}
