package keyvault_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/serve/keyvault"
)

// recordedElsewhere are operations whose success differs from run to run too much for a
// story, and the test that shows its shape.
var recordedElsewhere = map[string]string{
	"KeyRelease":                 "keys: TestAReleasedKeyIsDescribedAsClientsReadIt",
	"SecurityDomainUpload":       "hsm: TestSecurityDomainIsUploadedWhereItsHoldersBringIt",
	"SecurityDomainUploadStatus": "hsm: TestSecurityDomainIsUploadedWhereItsHoldersBringIt",
}

// Every operation has an exchange in testdata, request and answer, in which it succeeds.
func TestEveryOperationIsRecorded(t *testing.T) {
	p := apptest.Start(t)
	operations := slices.Concat(p.KeyVaultOperations(), p.ManagedHSMOperations())
	files, err := filepath.Glob("*/testdata/*.txtar")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d stories: %v", len(files), err)
	}

	recorded := map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(filepath.Clean(name))
		if err != nil {
			t.Fatal(err)
		}
		story := txtar.Parse(text).Files
		for i, f := range story {
			method, path, isRequest := strings.Cut(f.Name, " ")
			if !isRequest || i+1 == len(story) || !strings.HasPrefix(story[i+1].Name, "2") {
				continue
			}
			path, _, _ = strings.Cut(path, "?")
			recorded[keyvault.Find(operations, method, path)] = true
		}
	}

	for _, op := range operations {
		if !recorded[op.Name] && recordedElsewhere[op.Name] == "" {
			t.Errorf("%s (%s %s) has no exchange that succeeds: add one to a story in testdata, and run its test with -update", op.Name, op.Method, op.Path)
		}
	}
	for name := range recordedElsewhere {
		if recorded[name] {
			t.Errorf("%s is recorded by now: take its line out", name)
		}
	}
}
