package cli

import (
	"context"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/vault/keys"
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

// key makes a key, VAULT/keys/NAME.
func key(ts *testscript.TestScript, _ bool, args []string) {
	vault, name, _ := strings.Cut(args[0], "/keys/")
	_, err := productOf(ts).Keys.Create(context.Background(), apptest.System, object.Ref{Vault: vault, Name: name}, keys.CreateRequest{Type: "EC"})
	ts.Check(err)
}

// same wants two secrets, VAULT/secrets/NAME, to have the same value.
func same(ts *testscript.TestScript, _ bool, args []string) {
	var values []secrets.Value
	for _, a := range args {
		vault, name, _ := strings.Cut(a, "/secrets/")
		_, b, err := productOf(ts).Secrets.Get(context.Background(), apptest.System, object.Ref{Vault: vault, Name: name})
		ts.Check(err)
		values = append(values, b.Value)
	}
	if values[0] != values[1] {
		ts.Fatalf("%s and %s are not the same", args[0], args[1])
	}
}

// as remembers the credentials of the last output under a name, for become.
func as(ts *testscript.TestScript, _ bool, args []string) {
	if ts.Getenv("admin_ID") == "" {
		ts.Setenv("admin_ID", ts.Getenv("AZURE_CLIENT_ID"))
		ts.Setenv("admin_SECRET", ts.Getenv("AZURE_CLIENT_SECRET"))
	}
	for _, m := range regexp.MustCompile(`(?m)^export AZURE_CLIENT_(ID|SECRET)='(.*)'$`).FindAllStringSubmatch(ts.ReadFile("stdout"), -1) {
		ts.Setenv(args[0]+"_"+m[1], m[2])
	}
}

// become has the commands that follow run with the credentials of somebody.
func become(ts *testscript.TestScript, _ bool, args []string) {
	for _, part := range []string{"ID", "SECRET"} {
		value := ts.Getenv(args[0] + "_" + part)
		if value == "" {
			ts.Fatalf("nobody is called %s", args[0])
		}
		ts.Setenv("AZURE_CLIENT_"+part, value)
	}
}
