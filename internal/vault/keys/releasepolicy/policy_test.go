package releasepolicy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keys/releasepolicy"
)

const authority = "https://sharedeus.eus.attest.azure.net/"

// only makes a policy of one condition.
func only(condition string) []byte {
	return fmt.Appendf(nil, `{"version":"1.0.0","anyOf":[{"authority":%q,"allOf":[%s]}]}`, authority, condition)
}

// token is what an attestation service says of a confidential virtual machine, in short.
const token = `{
	"iss": "https://sharedeus.eus.attest.azure.net", "secureboot": true, "x-ms-attestation-type": "azurevm", "x-ms-ver": "1.0",
	"x-ms-isolation-tee": {
		"x-ms-attestation-type": "sevsnpvm", "x-ms-compliance-status": "azure-compliant-cvm",
		"x-ms-sevsnpvm-bootloader-svn": 4, "x-ms-sevsnpvm-is-debuggable": false, "big": 9007199254740993, "deep": {"er": "x"}, "list": [1]
	},
	"dotted.name": "literal", "null": null
}`

func claims(t testing.TB) releasepolicy.Claims {
	t.Helper()
	var c releasepolicy.Claims
	if err := json.Unmarshal([]byte(token), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConditionsCompareAsAzuresDo(t *testing.T) {
	c := claims(t)
	tee := func(name, operator string) string {
		return fmt.Sprintf(`{"claim":"x-ms-isolation-tee.%s",%s}`, name, operator)
	}
	for condition, want := range map[string]bool{
		`{"claim":"secureboot","equals":"true"}`:                                          true, // the clients' tests write it as text
		`{"claim":"secureboot","equals":true}`:                                            true,
		`{"claim":"secureboot","equals":"false"}`:                                         false,
		`{"claim":"secureboot","notEquals":"false"}`:                                      true,
		`{"claim":"x-ms-attestation-type","equals":"azurevm"}`:                            true,
		`{"claim":"x-ms-attestation-type","equals":"AzureVM"}`:                            false,
		`{"claim":"x-ms-attestation-type","EQUALS":"azurevm"}`:                            true,
		`{"claim":"dotted.name","equals":"literal"}`:                                      true,
		`{"claim":"x-ms-ver","equals":1}`:                                                 true,
		`{"claim":"x-ms-ver","greaterOrEquals":"1.0"}`:                                    true,
		`{"claim":"missing","equals":""}`:                                                 false,
		`{"claim":"missing","notEquals":"x"}`:                                             false, // what is not said is not proved
		`{"claim":"missing","less":5}`:                                                    false,
		`{"claim":"missing","exists":false}`:                                              true,
		`{"claim":"missing","exists":"true"}`:                                             false,
		`{"claim":"secureboot","exists":true}`:                                            true,
		`{"claim":"null","exists":true}`:                                                  true,
		`{"claim":"null","notEquals":"x"}`:                                                false,
		`{"claim":"x-ms-isolation-tee","equals":"{}"}`:                                    false,
		`{"claim":"x-ms-attestation-type","less":5}`:                                      false,
		tee("x-ms-attestation-type", `"equals":"sevsnpvm"`):                               true,
		tee("x-ms-sevsnpvm-is-debuggable", `"equals":"false"`):                            true,
		tee("x-ms-sevsnpvm-bootloader-svn", `"greaterOrEquals":4`):                        true,
		tee("x-ms-sevsnpvm-bootloader-svn", `"greater":4`):                                false,
		tee("x-ms-sevsnpvm-bootloader-svn", `"less":10`):                                  true, // as numbers, not as text
		tee("x-ms-sevsnpvm-bootloader-svn", `"lessOrEquals":"3"`):                         false,
		tee("big", `"equals":9007199254740993`):                                           true,
		tee("big", `"equals":9007199254740992`):                                           false, // a float could not tell
		tee("deep.er", `"equals":"x"`):                                                    true,
		tee("list", `"equals":1`):                                                         false,
		tee("list", `"exists":true`):                                                      true,
		`{"anyOf":[{"claim":"missing","exists":true},{"claim":"secureboot","equals":1}]}`: false,
		`{"anyof":[{"claim":"missing","exists":true},{"allof":[{"claim":"secureboot","equals":true},{"claim":"x-ms-ver","exists":true}]}]}`:  true,
		`{"allOf":[{"claim":"secureboot","equals":true},{"anyOf":[{"claim":"missing","exists":true},{"claim":"x-ms-ver","equals":"2.0"}]}]}`: false,
	} {
		p, err := releasepolicy.Parse(only(condition))
		if err != nil {
			t.Errorf("%s: %v", condition, err)
			continue
		}
		if got := p.Met("https://SHAREDEUS.eus.attest.azure.net", c); got != want {
			t.Errorf("%s is %v, want %v", condition, got, want)
		}
	}
}

func TestAnAuthoritySpeaksForItselfAlone(t *testing.T) {
	p, err := releasepolicy.Parse([]byte(`{"anyOf":[
		{"authority":"https://a.example/","anyOf":[{"claim":"secureboot","equals":"false"}]},
		{"anyOf":[{"claim":"secureboot","equals":"true"}],"authority":"https://b.example/tenant/"}],"version":"1.0.0"}`))
	if err != nil {
		t.Fatal(err)
	}
	for authority, want := range map[string]bool{
		"https://a.example": false, "https://b.example/tenant": true, "https://b.example/tenant/": true, "https://b.example": false,
		"https://b.example/Tenant": false, "https://B.example/tenant": true, "http://b.example/tenant": false, "https://c.example/": false, "": false,
	} {
		if got := p.Met(authority, claims(t)); got != want {
			t.Errorf("%s: %v, want %v", authority, got, want)
		}
	}
}

func TestWhatIsNoPolicyIsRefused(t *testing.T) {
	deep := strings.Repeat(`{"anyOf":[`, 40) + `{"claim":"a","exists":true}` + strings.Repeat(`]}`, 40)
	many := strings.TrimSuffix(strings.Repeat(`{"claim":"a","exists":true},`, 600), ",")
	for name, text := range map[string]string{
		"nothing":                 "",
		"no JSON":                 `{"version":"1.0.0","anyOf":[`,
		"a list":                  `[]`,
		"no version":              `{"anyOf":[{"authority":"https://a.example","allOf":[{"claim":"a","equals":"b"}]}]}`,
		"another version":         strings.Replace(string(only(`{"claim":"a","equals":"b"}`)), "1.0.0", "1.0", 1),
		"no authorities":          `{"version":"1.0.0","anyOf":[]}`,
		"allOf of authorities":    `{"version":"1.0.0","allOf":[{"authority":"https://a.example","allOf":[{"claim":"a","equals":"b"}]}]}`,
		"no conditions":           string(only(``)),
		"an unknown part":         `{"version":"1.0.0","anyOf":[{"authority":"https://a.example","allOf":[{"claim":"a","equals":"b"}]}],"x":1}`,
		"twice the same":          `{"version":"1.0.0","version":"1.0.0","anyOf":[{"authority":"https://a.example","allOf":[{"claim":"a","equals":"b"}]}]}`,
		"twice, in another case":  string(only(`{"claim":"a","Claim":"b","equals":"b"}`)),
		"plain HTTP":              `{"version":"1.0.0","anyOf":[{"authority":"http://a.example","allOf":[{"claim":"a","equals":"b"}]}]}`,
		"an authority with query": `{"version":"1.0.0","anyOf":[{"authority":"https://a.example?x","allOf":[{"claim":"a","equals":"b"}]}]}`,
		"with a user":             `{"version":"1.0.0","anyOf":[{"authority":"https://u@a.example","allOf":[{"claim":"a","equals":"b"}]}]}`,
		"no authority":            `{"version":"1.0.0","anyOf":[{"allOf":[{"claim":"a","equals":"b"}]}]}`,
		"both lists":              `{"version":"1.0.0","anyOf":[{"authority":"https://a.example","allOf":[{"claim":"a","equals":"b"}],"anyOf":[{"claim":"a","equals":"b"}]}]}`,
		"a claim alone":           string(only(`{"claim":"a"}`)),
		"an operator alone":       string(only(`{"equals":"a"}`)),
		"two operators":           string(only(`{"claim":"a","equals":"b","less":1}`)),
		"an unknown operator":     string(only(`{"claim":"a","matches":"b"}`)),
		"a value that is a list":  string(only(`{"claim":"a","equals":["b"]}`)),
		"null":                    string(only(`{"claim":"a","equals":null}`)),
		"less than text":          string(only(`{"claim":"a","less":"b"}`)),
		"less than an exponent":   string(only(`{"claim":"a","less":1e99999999}`)),
		"exists, maybe":           string(only(`{"claim":"a","exists":"maybe"}`)),
		"an empty claim":          string(only(`{"claim":"","equals":"b"}`)),
		"something after it":      string(only(`{"claim":"a","equals":"b"}`)) + "{}",
		"too deep":                string(only(deep)),
		"too many":                string(only(many)),
		"too large":               string(only(`{"claim":"a","equals":"` + strings.Repeat("x", releasepolicy.MaxSize) + `"}`)),
	} {
		if _, err := releasepolicy.Parse([]byte(text)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The data that Microsoft's JavaScript client sent, and what the real service answered.
func TestAPolicyIsShownAsTheServiceShowsIt(t *testing.T) {
	p, err := releasepolicy.Parse([]byte(`{"anyOf":[{"allOf":[{"claim":"sdk-test","equals":"true"}],"authority":"https://skr_attestation.azure.net/"}],"version":"1.0.0"}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"version":"1.0.0","anyOf":[{"authority":"https://skr_attestation.azure.net/","allOf":[{"claim":"sdk-test","equals":"true"}]}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add(only(`{"claim":"a.b","lessOrEquals":-1.5}`))
	f.Add(only(`{"anyOf":[{"allof":[{"claim":"a","exists":false}]},{"claim":"b","notEquals":true}]}`))
	f.Add([]byte(`{"anyOf":[{"allOf":[{"claim":"sdk-test","equals":"true"}],"authority":"https://x/"}],"version":"1.0.0"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := releasepolicy.Parse(data)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("%v is no fault.Invalid", err)
			}
			return
		}
		first, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := releasepolicy.Parse(first)
		if err != nil {
			t.Fatalf("%s is written as %s, which is refused: %v", data, first, err)
		}
		second, err := json.Marshal(again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%s is written as %s and then as %s: %v", data, first, second, err)
		}
		c := claims(t)
		for _, a := range p.Authorities {
			if p.Met(a.URL, c) != again.Met(a.URL, c) {
				t.Fatalf("%s and %s decide differently", data, first)
			}
		}
	})
}
