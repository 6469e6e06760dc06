package acme

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program runs another's program that trusts our root, and returns what it says. Where the
// program is not installed the test is skipped, or fails with CI=true.
func (w *world) program(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing; scripts/install-test-deps installs it", name)
		}
		t.Skipf("%s is missing; scripts/install-test-deps installs it", name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, path, args...)
	root := filepath.Join(w.Data, "bootstrap", "root.pem")
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "REQUESTS_CA_BUNDLE=" + root, "LEGO_CA_CERTIFICATES=" + root, "PYTHONUNBUFFERED=1"}, env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// certbot is Debian's, with folders of its own.
type certbot struct {
	w    *world
	home string
}

func (c certbot) run(t *testing.T, verb string, args ...string) string {
	t.Helper()
	out, err := c.try(t, verb, args...)
	if err != nil {
		t.Fatalf("certbot %s: %v\n%s", verb, err, out)
	}
	return out
}

func (c certbot) try(t *testing.T, verb string, args ...string) (string, error) {
	t.Helper()
	return c.w.program(t, nil, "certbot", append([]string{
		verb, "--config-dir", c.home + "/config", "--work-dir", c.home + "/work", "--logs-dir", c.home + "/logs", "--server", c.w.directory(), "--non-interactive",
	}, args...)...)
}

func TestCertbotGetsRenewsAndRevokes(t *testing.T) {
	t.Parallel()
	w := start(t)
	c := certbot{w, t.TempDir()}
	id, secret := w.key(t)
	if out, err := c.try(t, "register", "--agree-tos", "--email", "ops@example.com"); err == nil {
		t.Errorf("certbot registers without an external account key: %s", out)
	}
	c.run(t, "register", "--agree-tos", "--email", "ops@example.com", "--eab-kid", id, "--eab-hmac-key", secret)

	c.run(t, "certonly", "--webroot", "-w", w.web, "-d", "www.example.com", "-d", "example.com", "--cert-name", "www")
	live := filepath.Join(c.home, "config", "live", "www")
	first := w.trusted(t, read(t, live+"/fullchain.pem"), "example.com")

	c.run(t, "renew", "--force-renewal", "--no-random-sleep-on-renew", "--cert-name", "www")
	second := w.trusted(t, read(t, live+"/fullchain.pem"), "www.example.com")
	if first.SerialNumber.Cmp(second.SerialNumber) == 0 {
		t.Error("the renewed certificate is the old one")
	}

	hook := w.names.hook(t, "_acme-challenge.$CERTBOT_DOMAIN.", "$CERTBOT_VALIDATION")
	c.run(t, "certonly", "--manual", "--preferred-challenges", "dns", "--manual-auth-hook", hook, "-d", "*.shop.example.com", "--cert-name", "shop")
	w.trusted(t, read(t, filepath.Join(c.home, "config", "live", "shop", "fullchain.pem")), "any.shop.example.com")

	c.run(t, "revoke", "--cert-name", "www", "--reason", "superseded", "--no-delete-after-revoke")
	if out, err := c.try(t, "revoke", "--cert-name", "www", "--no-delete-after-revoke"); err == nil {
		t.Errorf("it is revoked twice: %s", out)
	}
	c.run(t, "update_account", "--email", "new@example.com")
	c.run(t, "unregister")
	if out, err := c.try(t, "certonly", "--webroot", "-w", w.web, "-d", "www.example.com"); err == nil {
		t.Errorf("an ended account gets a certificate: %s", out)
	}
}

func TestLegoGetsRenewsAndRevokes(t *testing.T) {
	t.Parallel()
	w := start(t)
	id, secret := w.key(t)
	home := t.TempDir()
	hook := w.names.hook(t, "$2", "$3") // lego calls it with present or cleanup, name and value
	lego := func(args ...string) {
		t.Helper()
		out, err := w.program(t, []string{"EXEC_PATH=" + hook}, "lego", append([]string{
			"--path", home, "--server", w.directory(), "--email", "ops@example.com", "--accept-tos", "--eab", "--kid", id, "--hmac", secret,
		}, args...)...)
		if err != nil {
			t.Fatalf("lego %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}

	lego("--http", "--http.webroot", w.web, "-d", "www.example.com", "-d", "example.com", "run")
	first := w.trusted(t, read(t, home+"/certificates/www.example.com.crt"), "example.com")
	lego("--http", "--http.webroot", w.web, "-d", "www.example.com", "-d", "example.com", "renew", "--days", "1000", "--no-random-sleep")
	second := w.trusted(t, read(t, home+"/certificates/www.example.com.crt"), "example.com")
	if first.SerialNumber.Cmp(second.SerialNumber) == 0 {
		t.Error("the renewed certificate is the old one")
	}

	lego("--dns", "exec", "--dns.disable-cp", "--dns.resolvers", w.names.resolver, "-d", "*.shop.example.com", "run")
	w.trusted(t, read(t, home+"/certificates/_.shop.example.com.crt"), "any.shop.example.com")

	lego("-d", "www.example.com", "revoke", "--reason", "4")
}
