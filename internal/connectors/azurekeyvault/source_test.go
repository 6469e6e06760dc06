package azurekeyvault

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/connector/connectortest"
	"chatelaine.dev/internal/fault"
	"github.com/google/go-cmp/cmp"
)

func connect(t *testing.T, f *fakeVault, change map[string]any) connector.Source {
	t.Helper()
	s, err := Definition().Source(f.settings(t, change), f.env())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// filled is a fake with many names, many versions of one, a disabled version, one that
// may not be read and one without a certificate.
func filled(t *testing.T) (*fakeVault, map[string][]byte) {
	f := newFakeVault(t)
	want := map[string][]byte{}
	put := func(v fakeVersion, expect []byte) {
		f.put(v)
		want[f.url()+"/certificates/"+v.name+"/"+v.version] = expect
	}
	cer := f.ca.Bundle(t, "a.example").Certificate
	for i := range 60 {
		put(fakeVersion{name: fmt.Sprintf("name%02d", i), version: "v1", cer: cer, enabled: true}, cer)
	}
	for i := range 40 {
		put(fakeVersion{name: "renewed", version: fmt.Sprintf("v%02d", i), cer: cer, enabled: i == 39}, cer)
	}
	put(fakeVersion{name: "secretive", version: "v1", cer: cer, status: 403}, nil)
	put(fakeVersion{name: "gone", version: "v1", cer: cer, status: 404}, nil)
	put(fakeVersion{name: "pending", version: "v1"}, nil)
	return f, want
}

func TestContract(t *testing.T) {
	connectortest.Source{New: func(t *testing.T) (connector.Source, map[string][]byte) {
		f, want := filled(t)
		return connect(t, f, nil), want
	}}.Run(t)
}

func TestDefinitionIsWhole(t *testing.T) {
	if err := Definition().Validate(); err != nil {
		t.Error(err)
	}
}

func TestFoundSaysWhatTheVaultSays(t *testing.T) {
	f := newFakeVault(t)
	cer := f.ca.Bundle(t, "a.example").Certificate
	f.put(fakeVersion{name: "web", version: "v1", cer: cer, tags: map[string]string{"env": "prod", "long": strings.Repeat("x", 2000)}},
		fakeVersion{name: "web", version: "v2", cer: cer, enabled: true})
	var got []connector.Found

	if err := connect(t, f, nil).Discover(t.Context(), func(x connector.Found) error { got = append(got, x); return nil }); err != nil {
		t.Fatal(err)
	}

	want := []connector.Found{
		{Location: f.url() + "/certificates/web/v1", Name: "web", Version: "v1", Certificate: cer, Key: f.url() + "/keys/web/v1", Labels: map[string]string{"env": "prod"}},
		{Location: f.url() + "/certificates/web/v2", Name: "web", Version: "v2", Certificate: cer, Key: f.url() + "/keys/web/v2", Enabled: true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBusyVaultIsAskedAgain(t *testing.T) {
	f, want := filled(t)
	s := connect(t, f, nil)
	f.mu.Lock()
	f.busy = 2
	f.mu.Unlock()
	found := 0

	err := s.Discover(t.Context(), func(connector.Found) error { found++; return nil })

	if err != nil || found != len(want) {
		t.Errorf("found %d of %d, %v", found, len(want), err)
	}
}

func TestErrorsHaveTheirKindAndNoSecret(t *testing.T) {
	for name, test := range map[string]struct {
		change map[string]any
		world  func(*fakeVault)
		want   fault.Kind
	}{
		"wrong secret": {change: map[string]any{"clientSecret": "canary-wrong"}, want: fault.Denied},
		"wrong client": {change: map[string]any{"clientId": "99999999-2222-3333-4444-555555555555"}, want: fault.Denied},
		"no role":      {world: func(f *fakeVault) { f.status = 403 }, want: fault.Denied},
		"unknown CA":   {change: map[string]any{"ca": ""}, want: fault.Unavailable},
		"other host":   {change: map[string]any{"url": "https://payroll.elsewhere.test"}, want: fault.Unavailable},
		"strange ids":  {world: func(f *fakeVault) { f.badID = true }, want: fault.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the SDK waits between its tries
			f, _ := filled(t)
			if test.world != nil {
				test.world(f)
			}

			err := connect(t, f, test.change).Discover(t.Context(), func(connector.Found) error { return nil })

			if !fault.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), fakeToken)) {
				t.Errorf("the error holds a secret: %v", err)
			}
		})
	}
}

func TestCanceledCallIsUnavailable(t *testing.T) {
	f, _ := filled(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if err := connect(t, f, nil).Check(ctx); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want fault.Unavailable", err)
	}
}

func TestPrivateKeysAreNotAskedFor(t *testing.T) {
	f, _ := filled(t)

	if err := connect(t, f, nil).Discover(t.Context(), func(connector.Found) error { return nil }); err != nil {
		t.Fatal(err)
	}

	for _, r := range f.requests {
		if !strings.HasPrefix(r, "GET /certificates") {
			t.Errorf("asked for %s", r)
		}
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	f := newFakeVault(t)
	for name, change := range map[string]map[string]any{
		"plain http":    {"url": "http://payroll.vault.test"},
		"path":          {"url": "https://payroll.vault.test/certificates"},
		"user":          {"url": "https://a:b@payroll.vault.test"},
		"no host":       {"url": "https://"},
		"no secret":     {"clientSecret": ""},
		"authority":     {"authority": "login.vault.test"},
		"tenant":        {"tenant": "a/b"},
		"unreadable CA": {"ca": "certificate"},
	} {
		if _, err := Definition().Source(f.settings(t, change), f.env()); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want fault.Invalid", name, err)
		}
	}
}
