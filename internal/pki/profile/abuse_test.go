package profile

import (
	"encoding/json"
	"slices"
	"testing"
)

// shape is a profile that is changed from a good one by a piece of JSON.
func shape(t *testing.T, base, change string) (Profile, error) {
	t.Helper()
	p := builtin(t, base)
	if err := json.Unmarshal([]byte(change), &p); err != nil {
		t.Fatalf("%s: %v", change, err)
	}
	return p, p.Valid()
}

func TestVulnerableProfilesAreFound(t *testing.T) {
	for _, c := range []struct{ name, base, change, want string }{
		{"any name by EST for a client", "tls-mutual", `{"doors":{"est":{"basic":true,"names":["*"]}}}`, "ESC1"},
		{"any common name by SCEP for a client", "tls-client", `{"doors":{"scep":{"challenge":true,"names":["*.corp.example.com"]}}}`, "ESC1"},
		{"no purpose", "tls-client", `{"extendedKeyUsage":[]}`, "ESC2"},
		{"any purpose", "tls-client", `{"extendedKeyUsage":["2.5.29.37.0"]}`, "ESC2"},
		{"an enrolment agent", "tls-client", `{"extendedKeyUsage":["1.3.6.1.4.1.311.20.2.1"]}`, "ESC3"},
		{"a key recovery agent", "tls-client", `{"extendedKeyUsage":["1.3.6.1.4.1.311.21.6"]}`, "ESC3"},
		{"every name is preauthorised", "tls-server", `{"doors":{"acme":{"externalAccount":true,"preauthorized":["*"]}}}`, "ESC6"},
		{"a whole top-level domain is preauthorised", "tls-server", `{"doors":{"acme":{"externalAccount":true,"preauthorized":["*.com"]}}}`, "ESC6"},
		{"ACME without accounts and challenges", "tls-server", `{"doors":{"acme":{"externalAccount":false,"challenges":[],"preauthorized":["*.lan"]}}}`, "ESC8"},
		{"logon with a name that is asked for", "tls-client", `{"extendedKeyUsage":["smartcardLogon","clientAuth"]}`, "ESC9"},
		{"Kerberos with a name that is asked for", "tls-client", `{"extendedKeyUsage":["kerberosClient"]}`, "ESC9"},
		{"a policy for whoever comes", "tls-server", `{"policies":["1.3.6.1.4.1.99999.1.1"]}`, "ESC13"},
		{"application policies beside the purposes", "tls-server", `{"extensions":[{"oid":"1.3.6.1.4.1.311.21.10","value":"MAA="}]}`, "ESC15"},
		{"a template's name", "tls-server", `{"extensions":[{"oid":"1.3.6.1.4.1.311.20.2","value":"DAdNYWNoaW5l"}]}`, "ESC15"},
		{"any server by EST", "tls-server", `{"doors":{"est":{"mutualTLS":true,"names":["*"]}}}`, "ESC17"},
		{"any server by a network of everybody", "tls-server", `{"doors":{"scep":{"challenge":true,"names":["0.0.0.0/0"]}}}`, "ESC17"},
		{"any server by a pattern of everything", "tls-server", `{"names":{"commonName":"first","min":1,"max":5,"dns":true,"patterns":["web\\..*",".+"]},"doors":{"est":{"mutualTLS":true,"names":["*"]}}}`, "ESC17"},
		{"any client by a pattern of all workloads", "tls-mutual", `{"names":{"commonName":"none","min":1,"max":1,"uri":true,"patterns":["spiffe://.*|https://.*"]},"doors":{"est":{"mutualTLS":true,"names":["*"]}}}`, "ESC1"},
		{"any mailbox by a pattern", "smime", `{"names":{"commonName":"first","min":1,"max":1,"email":true,"patterns":[".*@.*"]},"doors":{"est":{"basic":true,"names":["*.example.com"]}}}`, "mailbox"},
		{"any server by a network of a registry", "tls-server", `{"doors":{"scep":{"challenge":true,"names":["2a00::/11"]}}}`, "ESC17"},
		{"code signing by anybody", "code-signing", `{"approval":false}`, "code"},
		{"status by anybody", "ocsp-signer", `{"approval":false}`, "status"},
		{"anybody's mailbox by EST", "smime", `{"doors":{"est":{"basic":true,"names":["*.example.com"]}}}`, "mailbox"},
		{"a server that signs code", "tls-server", `{"approval":true,"extendedKeyUsage":["serverAuth","codeSigning"]}`, "mixed"},
		{"ten years", "device", `{"validity":{"default":"365d","min":"1h","max":"3650d","backdate":"5m"}}`, "forever"},
	} {
		p, err := shape(t, c.base, c.change)
		found := p.Findings()
		if !slices.ContainsFunc(found, func(f Finding) bool { return f.Shape == c.want && f.Why != "" }) {
			t.Errorf("%s: %v (valid: %v), want %s", c.name, found, err, c.want)
		}
	}
}

// What has no counterpart among the findings, because a profile cannot say it, is refused
// when it is written.
func TestShapesThatGiveAPowerAreRefusedWhenTheyAreWritten(t *testing.T) {
	for _, change := range []string{
		`{"extendedKeyUsage":[]}`, `{"extendedKeyUsage":["2.5.29.37.0"]}`, `{"extendedKeyUsage":["1.3.6.1.4.1.311.20.2.1"]}`,
		`{"extendedKeyUsage":["serverAuth","1.3.6.1.5.5.7.3.1"]}`, `{"extendedKeyUsage":["not.an.oid"]}`,
		`{"keyUsage":["keyCertSign"]}`, `{"keyUsage":["digitalSignature","keyAgreement"]}`,
		`{"extensions":[{"oid":"2.5.29.19","value":"MAMBAf8="}]}`, `{"extensions":[{"oid":"2.5.29.17","value":"MAA="}]}`,
		`{"extensions":[{"oid":"1.3.6.1.4.1.311.25.2","value":"MAA="}]}`, `{"extensions":[{"oid":"1.2.3.4","value":"AAAA"}]}`,
		`{"extensions":[{"oid":"1.2.3.4","value":"BQA="},{"oid":"1.2.3.4","value":"BQA="}]}`, `{"extensions":[{"oid":"9.9.9","value":"BQA="}]}`,
		`{"extensions":[{"oid":"2.5.29.019","value":"MAMBAf8="}]}`, `{"extensions":[{"oid":"02.5.29.17","value":"MAA="}]}`, `{"policies":["2.5.29.032.0"]}`,
		`{"policies":["2.5.29.32.0"]}`, `{"policies":["1.2.3","1.2.3"]}`, `{"policies":["policy"]}`,
		`{"noRevocation":true}`, `{"subject":{"CN":{"fixed":["a"]}}}`, `{"subject":{"C":{"fixed":["Germany"]}}}`, `{"subject":{"O":{"pattern":"("}}}`,
		`{"subject":{"O":{"fixed":["A"],"pattern":"A"}}}`, `{"approval":true,"subject":{"O":{"pattern":"[A-Z]+"}}}`,
		`{"subject":{"O":{"pattern":"[A-Z]+"}},"doors":{"scep":{"approval":true,"names":["*"]}}}`,
		`{"extendedKeyUsage":["timeStamping"]}`, `{"extendedKeyUsage":["timeStamping","1.3.6.1.5.5.7.3.3"],"extendedKeyUsageCritical":true}`,
		`{"names":{"commonName":"first","min":1,"max":10,"dns":true,"patterns":[")("]}}`, `{"names":{"commonName":"first","min":1,"max":10,"dns":true,"allowed":["*.*.a"]}}`,
		`{"names":{"commonName":"first","min":1,"max":10,"dns":true,"fixed":{"dns":["under_score.example"]}}}`, `{"doors":{"scep":{"challenge":false,"renewByCertificate":false}}}`,
	} {
		if _, err := shape(t, "tls-server", change); err == nil {
			t.Errorf("%s was accepted", change)
		}
	}
}

func TestCleanProfilesHaveNoFindings(t *testing.T) {
	set, err := BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	clean := set.All()
	for _, c := range [][2]string{
		{"tls-server", `{"doors":{"acme":{"challenges":["http-01"],"names":["*"]}}}`},
		{"tls-server", `{"doors":{"acme":{"challenges":["dns-01"],"externalAccount":true,"preauthorized":["*.lan","10.0.0.0/8"]}}}`},
		{"tls-server", `{"doors":{"est":{"mutualTLS":true,"names":["*.prod.example.com"]}}}`},
		{"tls-server", `{"doors":{"scep":{"challenge":true,"names":["*.devices.example.com"]}}}`},
		{"tls-server", `{"doors":{"scep":{"challenge":true,"approval":true,"names":["*"]}}}`},
		{"tls-server", `{"names":{"commonName":"first","min":1,"max":5,"dns":true,"allowed":["*.example.com"]},"doors":{"est":{"basic":true,"names":["*"]}}}`},
		{"tls-client", `{"approval":true,"doors":{"est":{"basic":true,"names":["*"]}}}`},
		{"tls-mutual", `{"doors":{"est":{"mutualTLS":true,"names":["*.mesh.example.com"]}}}`},
		{"tls-mutual", `{"names":{"commonName":"none","min":1,"max":1,"uri":true,"patterns":["spiffe://example\\.com/.*"]},"doors":{"est":{"mutualTLS":true,"names":["*"]}}}`},
		{"device", `{"doors":{"scep":{"challenge":true,"renewByCertificate":true,"names":["*.devices.example.com"]}}}`},
		{"tls-client", `{"extendedKeyUsage":["smartcardLogon","clientAuth"],"approval":true}`},
		{"tls-server", `{"policies":["2.23.140.1.2.1"]}`},
		{"code-signing", `{"policies":["2.23.140.1.4.1"]}`},
		{"tls-server", `{"subject":{"O":{"fixed":["Example"]},"C":{"fixed":["DE"]}}}`},
	} {
		p, err := shape(t, c[0], c[1])
		if err != nil {
			t.Errorf("%s %s: %v", c[0], c[1], err)
		}
		p.Name += " with " + c[1]
		clean = append(clean, p)
	}
	if len(clean) < 20 {
		t.Errorf("%d profiles", len(clean))
	}
	for _, p := range clean {
		for _, f := range p.Findings() {
			t.Errorf("%s: %s %s", p.Name, f.Shape, f.Why)
		}
	}
}
