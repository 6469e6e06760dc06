// Package python lets Microsoft's own clients for Python, as Debian packages them, tell
// the life of secrets, keys and certificates against the product: DefaultAzureCredential
// unmodified, challenge verification on, TLS verified.
package python

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/app/apptest"
)

// interpreter is Debian's, for which its packages are: another that is first in the path
// would not have them.
const interpreter = "/usr/bin/python3"

// credentials are the two forms in which bootstrap/admin.env serves an unmodified
// DefaultAzureCredential (contract §2.1.1), by what is left out of it.
var credentials = map[string]string{"client secret": "IDENTITY_", "managed identity": "AZURE_"}

func TestMicrosoftsPythonClientsWork(t *testing.T) {
	if out, err := exec.CommandContext(t.Context(), interpreter, "-c", "import azure.keyvault.certificates, azure.identity").CombinedOutput(); err != nil {
		apptest.Without(t, "needs Debian's package python3-azure: %v %s", err, out)
	}
	for _, service := range []string{"secrets", "keys", "certificates"} {
		for form, without := range credentials {
			t.Run(service+" by "+form, func(t *testing.T) {
				t.Parallel()
				p := apptest.Start(t)
				ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
				defer stop()
				c := p.Program(ctx, t, []string{"default", "hsm"}, interpreter, "-B", service+"_story.py")
				lines := c.Env
				c.Env = []string{"REQUESTS_CA_BUNDLE=" + filepath.Join(p.Data, "bootstrap", "root.pem")}
				for _, line := range lines {
					if !strings.HasPrefix(line, without) {
						c.Env = append(c.Env, line)
					}
				}
				if out, err := c.CombinedOutput(); err != nil {
					t.Errorf("%s_story.py: %v\n%s", service, err, out)
				}
			})
		}
	}
}
