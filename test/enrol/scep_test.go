package enrol

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"testing"

	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/pki/profile"
	"github.com/smallstep/pkcs7"
)

// registrar fetches GetCACert by curl and writes the registrar's certificate to ra.pem and
// that of the authority to ca.pem.
func (w *world) registrar(t testing.TB, profile string) {
	t.Helper()
	w.run(t, "curl", "-sS", "-o", "ca.p7", w.StatusURL()+"/scep/"+profile+"?operation=GetCACert")
	b, err := os.ReadFile(w.path("ca.p7"))
	must(t, err)
	p7, err := pkcs7.Parse(b)
	must(t, err)
	if len(p7.Certificates) != 3 || p7.Certificates[0].KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment {
		t.Fatalf("GetCACert has %d certificates", len(p7.Certificates))
	}
	for i, name := range []string{"ra.pem", "ca.pem"} {
		must(t, os.WriteFile(w.path(name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p7.Certificates[i].Raw}), 0o600))
	}
}

func TestStrongswanEnrolsAndRenewsBySCEP(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.registrar(t, "tls-server")
	url := w.StatusURL() + "/scep/tls-server"
	if caps := w.run(t, "curl", "-sS", url+"?operation=GetCACaps"); !slices.Equal(strings.Fields(caps), []string{"AES", "SHA-256", "SHA-384", "SHA-512", "POSTPKIOperation", "Renewal", "SCEPStandard"}) {
		t.Errorf("capabilities: %q", caps)
	}
	w.run(t, "openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER", "-out", "key.der")
	w.run(t, "openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-outform", "DER", "-out", "key2.der")
	secret := w.passcode(t, passcode.SCEP, "tls-server", "s.example.test")
	enrol := func(key string, more ...string) string {
		return w.output(t, "pki", append([]string{
			"--scep", "--url", url, "--in", key, "--dn", "CN=s.example.test", "--san", "s.example.test",
			"--cacert-enc", "ra.pem", "--cacert-sig", "ra.pem", "--cacert", "ca.pem", "--cacert", w.root(), "--outform", "pem",
		}, more...)...)
	}

	first := enrol("key.der", "--password", secret.Reveal())
	must(t, os.WriteFile(w.path("cert.pem"), []byte(first), 0o600))
	if c := w.certificate(t, "cert.pem"); !slices.Equal(c.DNSNames, []string{"s.example.test"}) {
		t.Errorf("it is for %v", c.DNSNames)
	}

	second := enrol("key2.der", "--cert", "cert.pem", "--key", "key.der")
	must(t, os.WriteFile(w.path("cert2.pem"), []byte(second), 0o600))
	if w.certificate(t, "cert2.pem"); first == second {
		t.Error("it was not renewed")
	}
}

func TestScepclientEnrols(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.profile(t, "tls-client", "old-devices", func(p *profile.Profile) { p.Doors.SCEP.Legacy = true }) // it encrypts with DES alone
	url := w.StatusURL() + "/scep/"
	args := func(profile string) []string {
		return []string{
			"-server-url", url + profile, "-private-key", w.path(profile + ".key"), "-certificate", w.path(profile + ".pem"), "-cn", "d1",
			"-challenge", w.passcode(t, passcode.SCEP, profile, "d1").Reveal(), "-key-encipherment-selector",
		}
	}

	w.run(t, "scepclient", args("old-devices")...)

	if c := w.certificate(t, "old-devices.pem"); c.Subject.CommonName != "d1" {
		t.Errorf("it is for %s", c.Subject)
	}
	if out, err := w.try(t, "scepclient", args("clients")...); err == nil {
		t.Errorf("DES was taken where it is not allowed: %s", out)
	}
}
