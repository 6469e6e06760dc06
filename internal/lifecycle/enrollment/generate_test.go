package enrollment_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	keystore "github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/enrollment"
	. "chatelaine.dev/internal/lifecycle/lifecycletest"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

func making(f enrollment.Format) enrollment.Making {
	m := enrollment.Making{Ask: enrollment.Ask{Door: "rest", Profile: "tls-server", Names: profile.Names{DNS: []string{"a.example"}}}, Format: f}
	if f != enrollment.PEM {
		m.Password = access.NewSecret("correct horse")
	}
	return m
}

// opened reads a bundle as a client does: its key and the first certificate.
func opened(t testing.TB, f enrollment.Format, b []byte) (crypto.Signer, *x509.Certificate) {
	t.Helper()
	var key any
	var leaf *x509.Certificate
	var err error
	switch f {
	case enrollment.PFX:
		key, leaf, _, err = pkcs12.DecodeChain(b, "correct horse")
	case enrollment.PEM:
		block, rest := pem.Decode(b)
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		must(t, err)
		block, _ = pem.Decode(rest)
		leaf, err = x509.ParseCertificate(block.Bytes)
	case enrollment.JKS:
		ks := keystore.New()
		must(t, ks.Load(bytes.NewReader(b), []byte("correct horse")))
		var e keystore.PrivateKeyEntry
		e, err = ks.GetPrivateKeyEntry("key", []byte("correct horse"))
		must(t, err)
		if len(e.CertificateChain) != 2 {
			t.Errorf("the chain has %d certificates", len(e.CertificateChain))
		}
		key, err = x509.ParsePKCS8PrivateKey(e.PrivateKey)
		must(t, err)
		leaf, err = x509.ParseCertificate(e.CertificateChain[0].Content)
	}
	must(t, err)
	return key.(crypto.Signer), leaf
}

func TestMadeKeyComesWithItsCertificateInEveryFormatAndIsKeptNowhere(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	for _, f := range []enrollment.Format{enrollment.PFX, enrollment.PEM, enrollment.JKS} {
		for _, kind := range []string{"", "RSA 2048", "Ed25519"} {
			m := making(f)
			m.Key = kind

			made, err := w.Requests.Generate(t.Context(), w.Caller, m)
			must(t, err)

			key, leaf := opened(t, f, made.Bundle.Reveal())
			if !bytes.Equal(leaf.Raw, made.Certificate) || leaf.DNSNames[0] != "a.example" {
				t.Errorf("%s %s: another certificate", f, kind)
			}
			if !leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
				t.Errorf("%s %s: another key", f, kind)
			}
			e, err := w.Store.Request(t.Context(), made.Request)
			must(t, err)
			if len(e.Key) > 0 {
				t.Errorf("%s %s: the request has the key", f, kind)
			}
		}
	}
}

func TestMadeKeyIsKeptInAVaultOnlyWhenAsked(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	m := making(enrollment.PFX)
	m.Keep = &lineage.Keep{Vault: vaulttest.Vault, Name: "web"}

	made, err := w.Requests.Generate(t.Context(), w.Caller, m)
	must(t, err)

	got, err := w.Certificates.Get(t.Context(), w.Caller, object.Ref{Vault: vaulttest.Vault, Name: "web"})
	if err != nil || !bytes.Equal(got.Body.Certificate, made.Certificate) {
		t.Errorf("the vault has another certificate: %v", err)
	}
	m.Keep = &lineage.Keep{Vault: "nowhere", Name: "web"}
	before := w.Issued(t)
	if made, err := w.Requests.Generate(t.Context(), w.Caller, m); err == nil || len(made.Bundle.Reveal()) > 0 {
		t.Errorf("a vault that is not there: %v", err)
	}
	if n := w.Issued(t); n != before {
		t.Errorf("%d certificates of lost keys are still good", n-before)
	}
}

func TestNoKeyIsMadeForWhoMayNotHaveTheCertificate(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	for name, c := range map[string]struct {
		edit func(*enrollment.Making)
		code string
	}{
		"short password":                         {func(m *enrollment.Making) { m.Password = access.NewSecret("short") }, "InvalidPassword"},
		"few letters of many bytes":              {func(m *enrollment.Making) { m.Password = access.NewSecret("ÄÖÜß") }, "InvalidPassword"},
		"no password of PKCS #12":                {func(m *enrollment.Making) { m.Password = access.NewSecret("correct horse 🐴") }, "InvalidPassword"},
		"not UTF-8":                              {func(m *enrollment.Making) { m.Password = access.NewSecret("correct \xff horse") }, "InvalidPassword"},
		"a control in the password":              {func(m *enrollment.Making) { m.Password = access.NewSecret("correct\x00horse") }, "InvalidPassword"},
		"a password that Java reads differently": {func(m *enrollment.Making) { m.Format, m.Password = enrollment.JKS, access.NewSecret("süßes Pferd") }, "InvalidPassword"},
		"password of PEM":                        {func(m *enrollment.Making) { m.Format = enrollment.PEM }, "InvalidPassword"},
		"unknown format":                         {func(m *enrollment.Making) { m.Format = "zip" }, "UnknownFormat"},
		"unknown key":                            {func(m *enrollment.Making) { m.Key = "RSA 512" }, "KeyNotAllowed"},
		"no names":                               {func(m *enrollment.Making) { m.Names = profile.Names{} }, "TooFewNames"},
		"against profile":                        {func(m *enrollment.Making) { m.Names.Email = []string{"a@b.example"} }, "NameNotAllowed"},
		"needs a person":                         {func(m *enrollment.Making) { m.Profile = ApprovedProfile }, "NotAtOnce"},
		"no such profile":                        {func(m *enrollment.Making) { m.Profile = "none" }, "UnknownProfile"},
		"not an IP at all":                       {func(m *enrollment.Making) { m.Names.IP = []string{"x"} }, "BadName"},
	} {
		m := making(enrollment.PFX)
		c.edit(&m)
		if _, err := w.Requests.Generate(t.Context(), w.Caller, m); !fault.HasCode(err, c.code) {
			t.Errorf("%s: got %v, want %s", name, err, c.code)
		}
	}
	w.Deny(issuance.IssueCertificates)
	if _, err := w.Requests.Generate(t.Context(), w.Caller, making(enrollment.PFX)); !fault.Is(err, fault.Denied) {
		t.Errorf("without the right: %v", err)
	}
	if n := w.Issued(t); n != 0 {
		t.Errorf("%d issued", n)
	}
}

// leaver goes away while the vault takes the certificate.
type leaver struct{ leave context.CancelFunc }

func (l leaver) Keep(ctx context.Context, _ access.Caller, _ lineage.Keep, _ connector.Bundle) (string, error) {
	l.leave()
	return "", ctx.Err()
}

func TestCertificateOfACallerWhoGoesAwayIsRevoked(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	ctx, leave := context.WithCancel(t.Context())
	w.Requests.Vault = leaver{leave}
	m := making(enrollment.JKS)
	m.Keep = &lineage.Keep{Vault: vaulttest.Vault, Name: "web"}
	before := w.Issued(t)

	if _, err := w.Requests.Generate(ctx, w.Caller, m); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}

	if n := w.Issued(t); n != before {
		t.Errorf("%d certificates of lost keys are still good", n-before)
	}
	if recs := w.Records(t, "CertificateRevoke"); len(recs) != 1 {
		t.Errorf("%d revocations, want 1", len(recs))
	}
}

// What a password protects, and the key itself, is nowhere but in the file.
func TestNeitherThePasswordNorTheKeyOfAMadeFileLiesOpen(t *testing.T) {
	dir := t.TempDir()
	w := New(t, storagetest.Open(t, storage.Config{Dir: dir}))
	var secrets [][]byte
	for _, f := range []enrollment.Format{enrollment.PFX, enrollment.JKS, enrollment.PEM} {
		m := making(f)
		made, err := w.Requests.Generate(t.Context(), w.Caller, m)
		must(t, err)
		if text := fmt.Sprintf("%v %+v %#v %s", m, m, m.Password, made.Bundle); strings.Contains(text, "correct horse") {
			t.Errorf("%s prints its password: %s", f, text)
		}
		key, _ := opened(t, f, made.Bundle.Reveal())
		der, err := x509.MarshalPKCS8PrivateKey(key)
		must(t, err)
		secrets = append(secrets, der, made.Bundle.Reveal(), []byte("correct horse"))
	}

	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, s := range secrets {
			if contains(text, s) {
				t.Errorf("%s holds a secret of %d bytes", d.Name(), len(s))
			}
		}
		return err
	}))
}

// The names that a profile puts into every certificate are no surprise on any road.
func TestFixedNamesOfAProfileComeOnEveryRoad(t *testing.T) {
	w := New(t, storagetest.SQLite(t))
	p, err := w.Profiles.Get("tls-server")
	must(t, err)
	p.Name, p.Names.Fixed = "fixed", profile.Names{DNS: []string{"shared.example"}}
	q := p
	q.Name, q.Approval = "fixed-approved", true
	w.Profiles, err = profile.NewSet(append(w.Profiles.All(), p, q))
	must(t, err)
	w.Restart(t)

	for _, name := range []string{p.Name, q.Name} {
		a := ask(t, "a.example")
		a.Profile = name
		got, err := w.Requests.Enroll(t.Context(), w.Caller, a)
		must(t, err)
		l, err := w.Lineages.Create(t.Context(), w.Caller, lineage.Wanted{
			Name: name, Profile: name, Keep: lineage.Keep{Vault: vaulttest.Vault, Name: name}, Names: profileNames("a.example"),
		}, nil)
		must(t, err)
		r := renew(t, w, l)
		for _, id := range []string{got.Request, r.ID} {
			if get(t, w, id).State == enrollment.Pending {
				_, err = w.Requests.Approve(t.Context(), Approver, id, "")
				must(t, err)
			}
		}
		w.Queue.Drain(t)

		got, err = w.Requests.Collect(t.Context(), w.Caller, got.Request)
		must(t, err)
		checkDirect(t, got, "a.example", "shared.example")
		if r = get(t, w, r.ID); r.State != enrollment.Completed {
			t.Errorf("%s: the lineage's request is %s: %s", name, r.State, r.Problem)
		}
	}
}
