package apptest

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Program returns a command that knows the product as an operator's program would: its
// environment is bootstrap/admin.env, and the hosts of the named vaults resolve, by an
// /etc/hosts that it alone sees. Where that cannot be had the test is skipped, or fails with
// CI=true. Of our own environment it has only what a program needs to run at all.
func (p *Product) Program(ctx context.Context, t testing.TB, vaults []string, program ...string) *exec.Cmd {
	t.Helper()
	hosts := filepath.Join(t.TempDir(), "hosts")
	line := "127.0.0.1 localhost"
	for _, v := range vaults {
		line += " " + v + ".localhost"
	}
	if err := os.WriteFile(hosts, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	own := []string{"--mount"}
	if os.Geteuid() != 0 {
		own = append(own, "--map-root-user")
	}
	if out, err := exec.CommandContext(ctx, "unshare", append(own, "true")...).CombinedOutput(); err != nil {
		Without(t, "needs a mount namespace (util-linux's unshare, and the right to use it): %v %s", err, out)
	}
	args := append(own, "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, hosts)
	c := exec.CommandContext(ctx, "unshare", append(args, program...)...)
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LANG=C.UTF-8"}, p.Environment(t)...)
	return c
}

// Environment returns the lines of bootstrap/admin.env.
func (p *Product) Environment(t testing.TB) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(p.Data, "bootstrap", "admin.env"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.Contains(s.Text(), "=") {
			lines = append(lines, s.Text())
		}
	}
	return lines
}

// Without skips a test that lacks what it needs, or fails it with CI=true.
func Without(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
