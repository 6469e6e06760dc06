package keyvault

import (
	"testing"

	"chatelaine.dev/internal/serve/keyvault/secrets"
	"chatelaine.dev/internal/serve/keyvault/wire"
)

func TestPathsFindTheirOperation(t *testing.T) {
	rs := newRoutes(append(secrets.Operations(nil),
		wire.Operation{Name: "CertificatePolicyGet", Method: "GET", Path: "/certificates/{name}/policy"},
		wire.Operation{Name: "CertificateGet", Method: "GET", Path: "/certificates/{name}/{version?}"},
		wire.Operation{Name: "KeyDecrypt", Method: "POST", Path: "/keys/{name}/{version?}/decrypt"},
	))
	for _, c := range []struct{ method, path, op, name, version string }{
		{"GET", "/secrets", "SecretList", "", ""},
		{"GET", "//secrets//", "SecretList", "", ""},
		{"GET", "/secrets/a", "SecretGet", "a", ""},
		{"GET", "/secrets/a/", "SecretGet", "a", ""},
		{"GET", "/Secrets/A/0123", "SecretGet", "A", "0123"},
		{"GET", "/secrets/a/versions", "SecretListVersions", "a", ""},
		{"GET", "/secrets/a/VERSIONS", "SecretListVersions", "a", ""},
		{"GET", "/secrets/versions/versions", "SecretListVersions", "versions", ""},
		{"POST", "/keys/k/decrypt", "KeyDecrypt", "k", ""},
		{"POST", "/keys/k/v1/Decrypt", "KeyDecrypt", "k", "v1"},
		{"POST", "/keys/k//decrypt/", "KeyDecrypt", "k", ""},
		{"GET", "/certificates/c/policy", "CertificatePolicyGet", "c", ""},
		{"GET", "/certificates/contacts", "", "", ""},
		{"GET", "/certificates/Issuers", "", "", ""},
		{"PUT", "/secrets/restore", "", "", ""},
		{"DELETE", "/deletedsecrets/a", "SecretPurge", "a", ""},
		{"GET", "/secrets/a%2Fb", "SecretGet", "a/b", ""}, // one name, which CheckName refuses
		{"GET", "/secrets/..", "SecretGet", "..", ""},
		{"GET", "/secrets/%zz", "", "", ""},
		{"PATCH", "/", "", "", ""},
	} {
		op, name, version, _ := rs.find(c.method, c.path)
		if op.Name != c.op || name != c.name || version != c.version {
			t.Errorf("%s %s is %q %q %q, want %q %q %q", c.method, c.path, op.Name, name, version, c.op, c.name, c.version)
		}
	}
}

func TestHostsNameVaults(t *testing.T) {
	for host, want := range map[string]string{
		"payroll.example.com": "payroll", "Payroll.Example.com:8443": "payroll", "payroll.example.com.": "payroll",
		"example.com": "", "a.b.example.com": "", "payroll.example.org": "", ".example.com": "", "payrollexample.com": "",
	} {
		if got, ok := VaultOf(host, "example.com"); (ok && got != want) || (!ok && want != "") {
			t.Errorf("host %s is vault %q, want %q", host, got, want)
		}
	}
}
