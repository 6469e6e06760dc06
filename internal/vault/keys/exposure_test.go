package keys_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

// authorities count who was asked for, and know one.
type authorities struct{ asked int }

func (a *authorities) Check(_ context.Context, authority string) error {
	if a.asked++; authority != "https://attest.example/" {
		return fault.New(fault.Invalid, "BadParameter", "%s is away", authority)
	}
	return nil
}

const policyFormat = `{"version":"1.0.0","anyOf":[{"authority":%q,"allOf":[{"claim":"a","equals":"b"}]}]}`

func clause(authority string, immutable *bool) *keys.PolicyClause {
	return &keys.PolicyClause{Data: fmt.Appendf(nil, policyFormat, authority), Immutable: immutable}
}

// released starts a service that has an authority to ask.
func released(t *testing.T) (*vaulttest.Floor, *keys.Service, *authorities) {
	t.Helper()
	f, s := start(t)
	a := &authorities{}
	s.Authorities = a
	return f, s, a
}

// refusedAs wants an error with the words of the service, or none for "".
func refusedAs(t *testing.T, what string, err error, words string) {
	t.Helper()
	switch {
	case words == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case words != "" && (!fault.Is(err, fault.Invalid) || len(fault.Of(err).Message) < len(words) || fault.Of(err).Message[:len(words)] != words):
		t.Errorf("%s: %v, want %s", what, err, words)
	}
}

func TestWhoMayLeaveIsDecidedAtTheFirstVersion(t *testing.T) {
	yes, no := true, false
	good := "https://attest.example/"
	for name, c := range map[string]struct {
		kty   string
		x     keys.Exposure
		words string
	}{
		"nothing said":          {"EC", keys.Exposure{}, ""},
		"not exportable":        {"EC", keys.Exposure{Exportable: &no}, ""},
		"exportable":            {"EC-HSM", keys.Exposure{Exportable: &yes, Policy: clause(good, nil)}, ""},
		"without a policy":      {"EC-HSM", keys.Exposure{Exportable: &yes}, "AKV.SKR.1004: Exportable keys must have release policy."},
		"without exportable":    {"EC-HSM", keys.Exposure{Policy: clause(good, nil)}, "AKV.SKR.1005: Non-exportable keys must not have release policy."},
		"said not exportable":   {"EC-HSM", keys.Exposure{Exportable: &no, Policy: clause(good, nil)}, "AKV.SKR.1005: "},
		"of software":           {"EC", keys.Exposure{Exportable: &yes, Policy: clause(good, nil)}, "AKV.SKR.1006: "},
		"no policy at all":      {"EC-HSM", keys.Exposure{Exportable: &yes, Policy: &keys.PolicyClause{Data: []byte("{}")}}, "The release policy is not valid: "},
		"an authority is away":  {"EC-HSM", keys.Exposure{Exportable: &yes, Policy: clause("https://away.example", nil)}, "https://away.example is away"},
		"another content type":  {"EC-HSM", keys.Exposure{Exportable: &yes, Policy: &keys.PolicyClause{ContentType: "text/plain", Data: fmt.Appendf(nil, policyFormat, good)}}, "The contentType"},
		"the content type":      {"EC-HSM", keys.Exposure{Exportable: &yes, Policy: &keys.PolicyClause{ContentType: keys.PolicyType, Data: fmt.Appendf(nil, policyFormat, good)}}, ""},
		"a policy, no such key": {"RSA", keys.Exposure{Policy: clause(good, nil)}, "AKV.SKR.1005: "},
	} {
		f, s, _ := released(t)
		e, err := s.Create(t.Context(), f.Caller, ref("a"), keys.CreateRequest{Type: c.kty, Exposure: c.x})
		refusedAs(t, name, err, c.words)
		if err != nil {
			continue
		}
		x, err := keys.ExtraOf(e.Head)
		if want := c.x.Exportable != nil && *c.x.Exportable; err != nil || x.Exportable != want || (x.Release != nil) != want {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
	f, s := start(t) // where no service can be asked
	_, err := s.Create(t.Context(), f.Caller, ref("a"), keys.CreateRequest{Type: "EC-HSM", Exposure: keys.Exposure{Exportable: &yes, Policy: clause(good, nil)}})
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("without anybody to ask: %v", err)
	}
}

func TestAReleasePolicyIsTheKeysAndChangesUntilItIsImmutable(t *testing.T) {
	f, s, a := released(t)
	yes, no := true, false
	good := "https://attest.example/"
	create := func(x keys.Exposure) (object.Entry, error) {
		return s.Create(t.Context(), f.Caller, ref("a"), keys.CreateRequest{Type: "EC-HSM", Exposure: x})
	}
	update := func(version string, x keys.Exposure) error {
		_, err := s.Update(t.Context(), f.Caller, object.Ref{Vault: vaulttest.Vault, Name: "a", Version: version}, keys.UpdateRequest{Exposure: x})
		return err
	}
	first, err := create(keys.Exposure{Exportable: &yes, Policy: clause(good, nil)})
	if err != nil {
		t.Fatal(err)
	}
	other := &keys.PolicyClause{Data: []byte(`{"version":"1.0.0","anyOf":[{"authority":"https://attest.example/","anyOf":[{"claim":"c","exists":true}]}]}`)}
	immutable := &keys.PolicyClause{Data: other.Data, Immutable: &yes}

	_, err = create(keys.Exposure{})
	refusedAs(t, "a second version inherits", err, "")
	_, err = create(keys.Exposure{Exportable: &no})
	refusedAs(t, "a second version that is not exportable", err, "AKV.SKR.1003: ")
	refusedAs(t, "exportable changed", update("", keys.Exposure{Exportable: &no}), "AKV.SKR.1003: ")
	refusedAs(t, "the policy of a version", update(first.Version.ID, keys.Exposure{Policy: other}), "AKV.SKR.1016: Key Release Policy can only be set on versionless key.")
	refusedAs(t, "another policy", update("", keys.Exposure{Policy: other}), "")
	refusedAs(t, "immutable", update("", keys.Exposure{Exportable: &yes, Policy: immutable}), "")

	const words = "AKV.SKR.1020: Immutable Key Release Policy cannot be modified."
	asked := a.asked
	refusedAs(t, "the first policy again", update("", keys.Exposure{Policy: clause(good, nil)}), words)
	refusedAs(t, "no policy", update("", keys.Exposure{Policy: &keys.PolicyClause{Data: []byte(`{"version":"1.0"}`)}}), words)
	refusedAs(t, "mutable again", update("", keys.Exposure{Policy: &keys.PolicyClause{Data: other.Data, Immutable: &no}}), words)
	_, err = create(keys.Exposure{Policy: clause(good, nil)})
	refusedAs(t, "by a new version", err, words)
	if a.asked != asked {
		t.Errorf("%d authorities were asked for policies that were refused", a.asked-asked)
	}
	refusedAs(t, "the same again", update("", keys.Exposure{Policy: other}), "")

	e, err := s.Get(t.Context(), f.Caller, object.Ref{Vault: vaulttest.Vault, Name: "a", Version: first.Version.ID})
	if err != nil {
		t.Fatal(err)
	}
	x, err := keys.ExtraOf(e.Head)
	if err != nil || !x.Exportable || !x.Release.Immutable {
		t.Fatalf("%+v, %v", x, err)
	}
	if got, err := json.Marshal(x.Release.Policy); err != nil || string(got) != string(other.Data) {
		t.Errorf("the policy is %s, want %s: %v", got, other.Data, err)
	}
}
