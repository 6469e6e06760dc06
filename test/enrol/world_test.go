// Package enrol has other people's programs enrol: openssl and curl, GlobalSign's
// estclient, MicroMDM's scepclient and strongSwan's pki.
package enrol

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/pki/profile"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a product, a folder, and an application that may have certificates issued.
type world struct {
	*apptest.Product
	folder string
	client string // id of the application
	secret access.Secret
}

func start(t testing.TB) *world {
	t.Helper()
	w := &world{Product: apptest.Start(t), folder: t.TempDir()}
	who, err := w.Directory.CreateApplication(t.Context(), apptest.System, "device")
	must(t, err)
	_, err = w.Directory.Assign(t.Context(), apptest.System, who.ID, "Operator", access.Root)
	must(t, err)
	_, w.secret, err = w.Directory.AddCredential(t.Context(), apptest.System, who.ID, directory.NewCredential{Kind: directory.ClientSecret})
	must(t, err)
	w.client = who.ClientID
	w.profile(t, "tls-client", "clients", nil)
	return w
}

// profile makes a profile like another, with its doors for machines open.
func (w *world) profile(t testing.TB, like, name string, edit func(*profile.Profile)) {
	t.Helper()
	p, err := w.Profiles.Get(like)
	must(t, err)
	p.Name, p.Doors = name, profile.Doors{
		EST:  &profile.ESTDoor{Basic: true, MutualTLS: true, ServerKeygen: true, Names: []string{"*"}},
		SCEP: &profile.SCEPDoor{Challenge: true, RenewByCertificate: true, Names: []string{"*"}},
	}
	if edit != nil {
		edit(&p)
	}
	text, err := json.Marshal(p)
	must(t, err)
	_, err = w.Profiles.Create(t.Context(), apptest.System, text)
	must(t, err)
}

// passcode makes a one-time password.
func (w *world) passcode(t testing.TB, door, profile string, names ...string) access.Secret {
	t.Helper()
	_, secret, err := w.Enrolment.Passcodes.Create(t.Context(), apptest.System, passcode.Draft{Door: door, Profile: profile, Names: names})
	must(t, err)
	return secret
}

// root is the path of the root's certificate.
func (w *world) root() string { return filepath.Join(w.Data, "bootstrap", "root.pem") }

// path is a file of the test's folder.
func (w *world) path(name string) string { return filepath.Join(w.folder, name) }

// program finds a program, or skips the test; with CI=true it fails instead.
func program(t testing.TB, name string) string {
	t.Helper()
	for _, folder := range append(filepath.SplitList(os.Getenv("PATH")), "../../bin") {
		path, err := filepath.Abs(filepath.Join(folder, name))
		if err == nil && executable(path) {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not there; scripts/install-test-deps installs it", name)
	}
	t.Skipf("needs %s; scripts/install-test-deps installs it", name)
	return ""
}

func executable(path string) bool {
	f, err := os.Stat(path)
	return err == nil && f.Mode().IsRegular() && f.Mode()&0o111 != 0
}

// run runs a program in the folder and returns what it printed.
func (w *world) run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := w.try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return out
}

// output is what a program prints as its answer, without what it says about itself.
func (w *world) output(t testing.TB, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), program(t, name), args...)
	c.Dir = w.folder
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, said.String())
	}
	return string(out)
}

func (w *world) try(t testing.TB, name string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), program(t, name), args...)
	c.Dir = w.folder
	out, err := c.CombinedOutput()
	return string(out), err
}

// certificate reads the first certificate of a file, PEM or DER, and verifies it.
func (w *world) certificate(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	b, err := os.ReadFile(w.path(name))
	must(t, err)
	if block, _ := pem.Decode(b); block != nil {
		b = block.Bytes
	}
	c, err := x509.ParseCertificate(b)
	must(t, err)
	issuing, err := w.Authorities.Certificate(t.Context(), "issuing")
	must(t, err)
	parsed, err := x509.ParseCertificate(issuing)
	must(t, err)
	between := x509.NewCertPool()
	between.AddCert(parsed)
	if _, err := c.Verify(x509.VerifyOptions{Roots: w.Roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return c
}
