// Package javascript lets Microsoft's own clients for JavaScript tell the life of secrets,
// keys and certificates against the product: DefaultAzureCredential unmodified, challenge
// verification on, TLS verified.
package javascript

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chatelaine.dev/internal/app/apptest"
)

// modules installs what package-lock.json names, once for each content of it, into the
// user's cache, and returns the folder.
var modules = sync.OnceValues(func() (string, error) {
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		return "", err
	}
	manifest, err := os.ReadFile("package.json")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	folder := filepath.Join(cache, "chatelaine-test", "javascript-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o700); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(folder), "installing")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	for name, content := range map[string][]byte{"package-lock.json": lock, "package.json": manifest} {
		if err := os.WriteFile(filepath.Join(fresh, name), content, 0o600); err != nil {
			return "", err
		}
	}
	ci := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	ci.Dir = fresh
	if out, err := ci.CombinedOutput(); err != nil {
		return "", &installError{err, out}
	}
	if err := os.Rename(fresh, folder); err != nil && !os.IsExist(err) { // another run may have been first
		if _, there := os.Stat(folder); there != nil {
			return "", err
		}
	}
	return folder, nil
})

type installError struct {
	err error
	out []byte
}

func (e *installError) Error() string { return e.err.Error() + ": " + string(e.out) }

// credentials are the two forms in which bootstrap/admin.env serves an unmodified
// DefaultAzureCredential (contract §2.1.1).
var credentials = map[string]func(line string) bool{
	"client secret":    func(line string) bool { return !strings.HasPrefix(line, "IDENTITY_") },
	"managed identity": func(line string) bool { return !strings.HasPrefix(line, "AZURE_") },
}

func TestMicrosoftsJavaScriptClientsWork(t *testing.T) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			apptest.Without(t, "needs %s: install the package of that name", program)
		}
	}
	folder, err := modules()
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"secrets", "keys", "certificates"} {
		for form, keeps := range credentials {
			t.Run(service+" by "+form, func(t *testing.T) {
				t.Parallel()
				p := apptest.Start(t)
				ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
				defer stop()
				stories := t.TempDir() // with the modules beside them, as Node looks for them
				for _, name := range []string{"package.json", "story.js", service + ".js"} {
					content, err := os.ReadFile(name)
					if err == nil {
						err = os.WriteFile(filepath.Join(stories, name), content, 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Symlink(filepath.Join(folder, "node_modules"), filepath.Join(stories, "node_modules")); err != nil {
					t.Fatal(err)
				}
				c := p.Program(ctx, t, []string{"default", "hsm"}, "node", filepath.Join(stories, service+".js"))
				c.Env = only(c.Env, keeps)
				c.Env = append(c.Env, "NODE_EXTRA_CA_CERTS="+filepath.Join(p.Data, "bootstrap", "root.pem"))
				if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
					t.Errorf("%s.js: %v\n%s", service, err, out)
				}
			})
		}
	}
}

func only(lines []string, keeps func(string) bool) []string {
	var kept []string
	for _, line := range lines {
		if keeps(line) {
			kept = append(kept, line)
		}
	}
	return kept
}
