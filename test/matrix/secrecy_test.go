package matrix

import (
	"crypto/tls"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/lifecycle/connection"
	"chatelaine.dev/internal/lifecycle/discovery"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/issuer"
	certpolicy "chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// Whoever may not read must not learn what there is: to them, what exists, what was deleted
// and what never was are answered alike, in status and in every byte but the names that they
// have sent themselves (reliability: A3).

// ids differ from request to request, and from object to object.
var ids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{64}\b|\b[0-9a-f]{32}\b`)

// outsiders are those who may not read in the vault "default" nor in the HSM: without a token,
// without a role, and with every role but elsewhere.
func outsiders(t *testing.T, p *apptest.Product) map[string]string {
	t.Helper()
	return map[string]string{
		"a stranger": "", "somebody without a role": p.Application(t, "nobody", "/"),
		"the administrator of another vault": p.Application(t, "neighbour", "/vaults/other", "Key Vault Administrator", "Administrator"),
	}
}

// answered sends a request and returns what makes answers differ: status, headers that say
// something, and the body without the words that were asked for.
func answered(t *testing.T, client *http.Client, r *http.Request, bearer string, words ...string) string {
	t.Helper()
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	said := []string{res.Status}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range res.Header {
			if !yield(name) {
				return
			}
		}
	}) {
		if name != "Date" {
			said = append(said, name+": "+strings.Join(res.Header[name], ","))
		}
	}
	body := string(b)
	for _, w := range words {
		body = strings.ReplaceAll(body, w, "·")
	}
	text := strings.Join(append(said, body), "\n")
	return regexp.MustCompile(`(?m)^Content-Length: \d+$`).ReplaceAllString(ids.ReplaceAllString(text, "·"), "")
}

// objects makes one of each kind that is there and one that was deleted.
func objects(t *testing.T, p *apptest.Product, there, gone string) {
	t.Helper()
	ctx := t.Context()
	for _, name := range []string{there, gone} {
		r := object.Ref{Vault: "default", Name: name}
		pol := &certpolicy.Policy{Key: &certpolicy.KeyProperties{Type: "EC", Curve: "P-256"}, X509: &certpolicy.X509Properties{Subject: "CN=a"}, Issuer: &certpolicy.Issuer{Name: "Self"}}
		_, err := p.Secrets.Set(ctx, apptest.System, r, secrets.SetRequest{Value: "x"})
		if err == nil {
			_, err = p.Keys.Create(ctx, apptest.System, r, keys.CreateRequest{Type: "EC"})
		}
		if err == nil {
			_, err = p.Keys.Create(ctx, apptest.System, object.Ref{Vault: "hsm", Name: name}, keys.CreateRequest{Type: "EC-HSM"})
		}
		if err == nil {
			_, err = p.Certificates.Create(ctx, apptest.System, object.Ref{Vault: "default", Name: "c" + name}, certificates.CreateRequest{Policy: pol})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Issuers.Set(ctx, apptest.System, object.Ref{Vault: "default", Name: "c" + there}, issuer.Request{Provider: "Test"}); err != nil {
		t.Fatal(err)
	}
	for _, del := range []func() error{
		func() error {
			_, err := p.Secrets.Delete(ctx, apptest.System, object.Ref{Vault: "default", Name: gone})
			return err
		},
		func() error {
			_, err := p.Keys.Delete(ctx, apptest.System, object.Ref{Vault: "default", Name: gone})
			return err
		},
		func() error {
			_, err := p.Keys.Delete(ctx, apptest.System, object.Ref{Vault: "hsm", Name: gone})
			return err
		},
		func() error {
			_, err := p.Certificates.Delete(ctx, apptest.System, object.Ref{Vault: "default", Name: "c" + gone})
			return err
		},
	} {
		if err := del(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestObjectsAreKeptFromWhoMayNotRead(t *testing.T) {
	t.Parallel()
	p := apptest.Start(t)
	const there, gone, never = "jjjj", "kkkk", "llll"
	objects(t, p, there, gone)
	for who, bearer := range outsiders(t, p) {
		for vault, operations := range map[string][]wire.Operation{"default": p.KeyVaultOperations(), "hsm": slices.Concat(p.KeyVaultOperations(), p.ManagedHSMOperations())} {
			for _, op := range operations {
				if !strings.Contains(op.Path, "{name}") {
					continue
				}
				var first string
				for _, name := range []string{there, gone, never} {
					if strings.HasPrefix(op.Path, "/cert") || strings.HasPrefix(op.Path, "/deletedcert") {
						name = "c" + name
					}
					path := strings.NewReplacer("{name}", name, "/{version?}", "", "{version}", strings.Repeat("0", 32)).Replace(op.Path)
					r, err := http.NewRequestWithContext(t.Context(), op.Method, p.VaultURL(vault)+path+"?api-version=7.6", strings.NewReader(needs[op.Name].body+hsmNeeds[op.Name].body))
					if err != nil {
						t.Fatal(err)
					}
					got := answered(t, p.Client, r, bearer, name)
					if first == "" {
						first = got
					}
					if got != first || strings.HasPrefix(got, "2") {
						t.Errorf("%s asks for %s in %s: %s\nis answered\n%s\nand for what is there\n%s", who, op.Name, vault, name, got, first)
					}
				}
			}
		}
	}
}

func TestVaultsAreKeptFromWhoMayNotRead(t *testing.T) {
	t.Parallel()
	p := apptest.Start(t)
	if _, err := p.Vaults.Create(t.Context(), apptest.System, "deleted", object.Settings{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Vaults.Delete(t.Context(), apptest.System, "deleted"); err != nil {
		t.Fatal(err)
	}
	client := anyCertificate()
	for who, bearer := range outsiders(t, p) {
		for _, op := range slices.Concat(p.KeyVaultOperations(), p.ManagedHSMOperations()) {
			var first string
			for _, vault := range []string{"default", "deleted", "nowhere"} {
				path := strings.NewReplacer("{name}", "jjjj", "/{version?}", "", "{version}", strings.Repeat("0", 32)).Replace(op.Path)
				r, err := http.NewRequestWithContext(t.Context(), op.Method, p.VaultURL(vault)+path+"?api-version=7.6", strings.NewReader(needs[op.Name].body+hsmNeeds[op.Name].body))
				if err != nil {
					t.Fatal(err)
				}
				got := answered(t, client, r, bearer, vault)
				if first == "" {
					first = got
				}
				if got != first || strings.HasPrefix(got, "2") {
					t.Errorf("%s asks %s of the vault %s:\nis answered\n%s\nand one that is there\n%s", who, op.Name, vault, got, first)
				}
			}
		}
	}
}

func TestTheControlPlaneIsKeptFromWhoMayNotRead(t *testing.T) {
	t.Parallel()
	p := apptest.Start(t)
	there := estate(t, p)
	list := routes(t, p)
	for who, bearer := range outsiders(t, p) {
		compared := 0
		for _, x := range list {
			if anyone[x.ID] || !strings.Contains(x.path, "{") {
				continue
			}
			real, none := x.path, x.path
			var words, others []string
			for name, id := range there {
				if strings.Contains(real, "{"+name+"}") {
					real, none = strings.ReplaceAll(real, "{"+name+"}", id[0]), strings.ReplaceAll(none, "{"+name+"}", id[1])
					words, others = append(words, id[0]), append(others, id[1])
				}
			}
			none = x.fill(none, "nowhere") // what this estate does not have is in neither
			real = x.fill(real, "nowhere")
			if len(words) == 0 {
				continue
			}
			compared++
			ask := func(path string, words ...string) string {
				r, err := http.NewRequestWithContext(t.Context(), x.method, p.URL+path, strings.NewReader(bodies[x.ID]))
				if err != nil {
					t.Fatal(err)
				}
				return answered(t, p.Client, r, bearer, words...)
			}
			got, want := ask(real, words...), ask(none, others...)
			if got != want || strings.HasPrefix(got, "2") {
				t.Errorf("%s asks %s for %s:\nis answered\n%s\nand for %s\n%s", who, x.ID, real, got, none, want)
			}
		}
		if compared < 40 {
			t.Errorf("%s: only %d routes were compared", who, compared)
		}
	}
}

// estate makes one of many nouns of the control plane, and returns by the parameter of
// paths the id of what is there, and one of what is not.
func estate(t *testing.T, p *apptest.Product) map[string][2]string {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	objects(t, p, "jjjj", "kkkk")
	c, err := p.Connections.Create(ctx, apptest.System, connection.Draft{Name: "here", Connector: "files", Settings: []byte(`{"roots":["/nothing"]}`)})
	must(err)
	campaign, err := p.Discovery.Create(ctx, apptest.System, discovery.Draft{Name: "here", Targets: []string{"nothing.invalid"}})
	must(err)
	who, err := p.Directory.CreateApplication(ctx, apptest.System, "here")
	must(err)
	line, err := p.Lineages.Create(ctx, apptest.System, lineage.Wanted{Name: "here", Keep: lineage.Keep{Vault: "default", Name: "line"}, Profile: "tls-server", Names: profile.Names{DNS: []string{"a.example.com"}}}, nil)
	must(err)
	page, err := p.Inventory.List(ctx, apptest.System, inventory.ListOptions{})
	must(err)
	if len(page.Certificates) == 0 {
		t.Fatal("the inventory is empty")
	}
	const nobody = "00000000-0000-4000-8000-000000000000"
	return map[string][2]string{
		"vault": {"default", "nowhere"}, "name": {"jjjj", "zzzz"}, "authority": {"issuing", "zyxwvut"}, "profile": {"tls-server", "no-profile"},
		"connection": {c.ID, nobody}, "campaign": {campaign.ID, nobody}, "principal": {who.ID, nobody}, "lineage": {line.ID, nobody},
		"sha256": {page.Certificates[0].SHA256, strings.Repeat("ab", 32)},
	}
}

// A deleted vault serves nobody, whatever roles they have: what is in it waits for its
// recovery.
func TestDeletedVaultServesNobody(t *testing.T) {
	t.Parallel()
	p := apptest.Start(t)
	objects(t, p, "jjjj", "kkkk")
	bearer := p.Application(t, "admin", "/", "Key Vault Administrator", "Administrator")
	if _, err := p.Vaults.Delete(t.Context(), apptest.System, "default"); err != nil {
		t.Fatal(err)
	}
	client := anyCertificate()
	for _, op := range p.KeyVaultOperations() {
		for _, name := range []string{"jjjj", "cjjjj", "kkkk"} {
			path := strings.NewReplacer("{name}", name, "/{version?}", "", "{version}", strings.Repeat("0", 32)).Replace(op.Path)
			r, err := http.NewRequestWithContext(t.Context(), op.Method, p.VaultURL("default")+path+"?api-version=7.6", strings.NewReader(needs[op.Name].body))
			if err != nil {
				t.Fatal(err)
			}
			if got := answered(t, client, r, bearer); !strings.HasPrefix(got, "404 ") || !strings.Contains(got, "VaultNotFound") {
				t.Errorf("%s of %s: %s", op.Name, name, got)
			}
		}
	}
}

// anyCertificate is a client that takes any certificate. A name that is no vault's has none
// of its own, as it has no address in DNS elsewhere: that a vault exists is no secret of it.
func anyCertificate() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: apptest.Loopback, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}
