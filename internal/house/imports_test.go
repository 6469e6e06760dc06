package house

import (
	"path"
	"strconv"
	"strings"
	"testing"
)

// floor says what the packages below a folder may know of the product, besides
// each other. "x/*" means that each folder in x is a floor of its own: none
// knows its neighbour.
type floor struct {
	folder string
	knows  []string // folders, each with everything below it
}

// The architecture. The first line that fits a folder counts, so the particular stands
// before the general. Everyone may know internal/fault. What a floor needs beyond
// its line is an interface of its own, which internal/app satisfies.
var floors = []floor{
	{"cmd", []string{"internal/app", "internal/config", "internal/client",
		"internal/vault/keys/transfer", "internal/vault/keystore", // byok encrypts without a server
		"internal/lifecycle/discovery", "internal/lifecycle/inventory", "internal/lifecycle/policy", // scan finds and judges without a server
		"internal/pki/offline", "internal/pki/authority", "internal/pki/profile", "internal/pki/signature", // a root is kept on a machine without a server
		"internal/vault/hsm/quorum"}}, // a quorum opens a security domain on a machine apart
	{"internal/blob", nil},   // speaks to a blob store, and knows nothing of what it stores
	{"internal/client", nil}, // speaks to a server, so it knows the wire and nothing behind it
	{"internal/app", []string{"internal"}},
	{"internal/config", nil},

	{"internal/serve/web", []string{"internal/access", "internal/audit"}},
	{"internal/serve/*", []string{"internal/serve/web", "internal/vault", "internal/pki", "internal/lifecycle", "internal/access", "internal/audit", "internal/event"}},

	{"internal/lifecycle", []string{"internal/vault", "internal/pki", "internal/access", "internal/audit", "internal/event", "internal/job", "internal/connector"}},
	{"internal/pki", []string{"internal/vault/keystore", "internal/vault/seal", "internal/access", "internal/audit", "internal/event"}},
	{"internal/vault/seal", nil}, // every floor that keeps rows seals them
	{"internal/vault/keystore", nil},
	{"internal/vault", []string{"internal/access", "internal/audit", "internal/event"}},

	{"internal/access", []string{"internal/vault/seal", "internal/audit"}},
	{"internal/audit", nil},
	{"internal/event", []string{"internal/access", "internal/audit", "internal/job"}},
	{"internal/job", nil},

	{"internal/connector", nil},
	{"internal/connectors/*", []string{"internal/connector"}},
	{"internal/connectors", []string{"internal/connector", "internal/connectors"}}, // the list

	{"internal/storage/storagetest", []string{"internal/storage"}},
	{"internal/storage", []string{"internal/vault", "internal/pki", "internal/lifecycle", "internal/access", "internal/audit", "internal/event", "internal/connector"}},

	{"internal/fault", nil},
	{"internal/house", nil},
	{"test", []string{"internal", "cmd"}},
	{"bench", []string{"internal"}},
}

func TestImportsKeepToTheArchitecture(t *testing.T) {
	for _, s := range readTree(t).sources {
		f, ok := floorOf(s.folder())
		if !ok {
			t.Errorf("%s: the architecture has no floor for it: give it a line in floors", s.folder())
			continue
		}
		knows := f.knows
		if isTest(s) && !strings.HasPrefix(f.folder, "internal/connectors/") {
			knows = []string{"internal"}
		}
		for _, spec := range s.file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			folder, ours := strings.CutPrefix(imported, module+"/")
			if ours && !mayKnow(f.folder, knows, folder) {
				t.Errorf("%s imports %s: %s may know only %s", s.path, folder, f.folder, strings.Join(knows, ", "))
			}
		}
	}
}

// isTest reports a test file, or one of a package for tests, such as vaulttest. Tests start
// the real thing instead of a mock, so they may know every floor. Only a connector's
// keep to its line: a connector must stand by itself.
func isTest(s source) bool { return s.test || strings.HasSuffix(s.folder(), "test") }

// floorOf finds a folder's line; for "x/*" it is returned with the folder's own name.
func floorOf(folder string) (floor, bool) {
	for _, f := range floors {
		parent, each := strings.CutSuffix(f.folder, "/*")
		if !each {
			if below(folder, f.folder) {
				return f, true
			}
			continue
		}
		if rest, ok := strings.CutPrefix(folder, parent+"/"); ok {
			own, _, _ := strings.Cut(rest, "/")
			return floor{path.Join(parent, own), f.knows}, true
		}
	}
	return floor{}, false
}

func mayKnow(own string, knows []string, folder string) bool {
	if below(folder, own) || folder == "internal/fault" {
		return true
	}
	for _, k := range knows {
		if below(folder, k) {
			return true
		}
	}
	return false
}

func below(folder, top string) bool {
	return folder == top || strings.HasPrefix(folder, top+"/")
}

// The table must be able to fail: these are the mistakes that it is there for.
func TestArchitectureForbidsTheUsualMistakes(t *testing.T) {
	for _, c := range []struct {
		from, to string
		allowed  bool
	}{
		{"internal/serve/acme", "internal/serve/est", false},
		{"internal/serve/acme", "internal/serve/web", true},
		{"internal/serve/keyvault", "internal/storage", false},
		{"internal/serve/console/page", "internal/serve/console/view", true},
		{"internal/serve/console", "internal/connectors/files", false},
		{"internal/vault/keys", "internal/pki/authority", false},
		{"internal/vault/certificates", "internal/lifecycle/enrollment", false},
		{"internal/pki/issuance", "internal/vault/keystore", true},
		{"internal/pki/issuance", "internal/vault/secrets", false},
		{"internal/lifecycle/deployment", "internal/connector", true},
		{"internal/lifecycle/deployment", "internal/connectors/files", false},
		{"internal/connectors/files", "internal/connectors/azurekeyvault", false},
		{"internal/connectors/files", "internal/vault/pfx", false},
		{"internal/connectors", "internal/connectors/files", true},
		{"internal/storage/pkidb", "internal/pki/authority", true},
		{"internal/storage/pkidb", "internal/serve/api", false},
		{"cmd/chatelaine", "internal/storage", false},
	} {
		f, ok := floorOf(c.from)
		if !ok || mayKnow(f.folder, f.knows, c.to) != c.allowed {
			t.Errorf("%s → %s: allowed must be %v", c.from, c.to, c.allowed)
		}
	}
}
