package connection_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/connector/connectortest"
	"chatelaine.dev/internal/connectors/azurekeyvault"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/pfx"

	"crypto/x509"
)

// bootstrap reads the variables that a fresh product leaves for its first administrator.
func bootstrap(t testing.TB, p *apptest.Product) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(p.Data, "bootstrap", "admin.env"))
	must(t, err)
	defer f.Close()
	env := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "=")
		env[name] = strings.Trim(value, `'"`)
	}
	return env
}

// keep puts a certificate with its key into a vault of the product.
func keep(t testing.TB, p *apptest.Product, ca *connectortest.Authority, name string) []byte {
	t.Helper()
	b := ca.Bundle(t, name+".example")
	key, err := x509.ParsePKCS8PrivateKey(b.Key.Reveal())
	must(t, err)
	leaf, err := x509.ParseCertificate(b.Certificate)
	must(t, err)
	_, err = p.Certificates.Import(t.Context(), apptest.System, object.Ref{Vault: "default", Name: name},
		certificates.ImportRequest{Bundle: pfx.Bundle{Key: key, Certificates: []*x509.Certificate{leaf, ca.Issuing}}})
	must(t, err)
	return b.Certificate
}

// The connector for Azure Key Vault, with Microsoft's SDK in it, reads the vault of another
// Chatelaine as its README says.
func TestAnotherChatelaineIsASource(t *testing.T) {
	connectortest.Source{New: func(t *testing.T) (connector.Source, map[string][]byte) {
		other, ca := apptest.Start(t), connectortest.NewAuthority(t)
		env := bootstrap(t, other)
		root, err := os.ReadFile(filepath.Join(other.Data, "bootstrap", "root.pem"))
		must(t, err)
		settings, err := json.Marshal(map[string]any{
			"url": other.VaultURL("default"), "tenant": env["AZURE_TENANT_ID"], "clientId": env["AZURE_CLIENT_ID"],
			"clientSecret": env["AZURE_CLIENT_SECRET"], "authority": env["AZURE_AUTHORITY_HOST"], "ca": string(root),
		})
		must(t, err)
		want := map[string][]byte{}
		for _, name := range []string{"web", "web", "mail"} {
			der := keep(t, other, ca, name)
			newest, err := other.Certificates.Get(t.Context(), apptest.System, object.Ref{Vault: "default", Name: name})
			must(t, err)
			want[other.VaultURL("default")+"/certificates/"+name+"/"+newest.Version.ID] = der
		}
		source, err := azurekeyvault.Definition().Source(settings, connector.Env{Transport: func(c *tls.Config) http.RoundTripper {
			return &http.Transport{TLSClientConfig: c, DialContext: apptest.Loopback}
		}})
		must(t, err)
		return source, want
	}}.Run(t)
}
