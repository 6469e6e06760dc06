package cli

import (
	"context"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// product is where a script's environment has the product that it talks to.
type product struct{}

func productOf(ts *testscript.TestScript) *apptest.Product {
	return ts.Value(product{}).(*apptest.Product)
}

// secret sets a secret, VAULT/secrets/NAME, to a value, as a program of somebody's does
// through Key Vault's API.
func secret(ts *testscript.TestScript, _ bool, args []string) {
	vault, name, _ := strings.Cut(args[0], "/secrets/")
	_, err := productOf(ts).Secrets.Set(context.Background(), apptest.System, object.Ref{Vault: vault, Name: name}, secrets.SetRequest{Value: secrets.Value(args[1])})
	ts.Check(err)
}
