package cli

import (
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/token"
)

// door sends a request to the front door of the vault "default", as the administrator, and
// prints the answer: door PUT /keys/a request.json. With ! before it, it must be refused.
func door(ts *testscript.TestScript, refused bool, args []string) {
	p := productOf(ts)
	ctx := context.Background()
	tok, err := p.Tokens.ForClient(ctx, token.ClientCredentials{
		ClientID: ts.Getenv("AZURE_CLIENT_ID"), Secret: access.NewSecret(ts.Getenv("AZURE_CLIENT_SECRET")), Resource: p.URL, Base: p.URL, Form: token.ADFS,
	})
	ts.Check(err)
	var body io.Reader
	if len(args) > 2 {
		body = strings.NewReader(ts.ReadFile(args[2]))
	}
	r, err := http.NewRequestWithContext(ctx, args[0], p.VaultURL("default")+args[1]+"?api-version=7.6", body)
	ts.Check(err)
	r.Header.Set("Authorization", "Bearer "+tok.Text.Reveal())
	res, err := p.Client.Do(r)
	ts.Check(err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	ts.Check(err)
	ts.Logf("%s", res.Status)
	if (res.StatusCode >= 300) != refused {
		ts.Fatalf("%s %s: %s %s", args[0], args[1], res.Status, b)
	}
	_, err = ts.Stdout().Write(b)
	ts.Check(err)
}
