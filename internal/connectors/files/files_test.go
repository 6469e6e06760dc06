package files

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/connector/connectortest"
	"chatelaine.dev/internal/fault"
	"github.com/google/go-cmp/cmp"
)

// machine is a directory with a program that keeps a copy of what it last read.
type machine struct {
	dir   string
	place Place
	*target
}

// newMachine makes a machine whose check fails while the file "broken" exists, and whose
// reload fails while "stubborn" exists and then copies the certificate to "active".
func newMachine(t testing.TB) *machine {
	t.Helper()
	m := &machine{dir: t.TempDir()}
	etc := filepath.Join(m.dir, "etc")
	if err := os.Mkdir(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	m.place = Place{
		Certificate: etc + "/cert.pem", Chain: etc + "/chain.pem",
		FullChain: etc + "/fullchain.pem", Key: etc + "/key.pem",
	}
	check := m.script(t, "check", `[ ! -e `+m.dir+`/broken ] || { echo "syntax error in cert.pem"; exit 3; }`)
	reload := m.script(t, "reload", `[ ! -e `+m.dir+`/stubborn ] || { echo "will not"; exit 4; }
if [ -e `+etc+`/cert.pem ]; then cp `+etc+`/cert.pem `+m.dir+`/active; else rm -f `+m.dir+`/active; fi`)
	m.target = m.connect(t, Config{Roots: []string{etc}, Check: []string{check}, Reload: []string{reload}})
	return m
}

func (m *machine) script(t testing.TB, name, body string) string {
	t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// connect makes the target from settings, as the product does.
func (m *machine) connect(t testing.TB, c Config) *target {
	t.Helper()
	made, err := Definition().Target(settings(t, c), connector.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return made.(*target)
}

func settings(t testing.TB, v any) connector.Settings {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (m *machine) deployment(t testing.TB, id string, b connector.Bundle) connector.Deployment {
	return connector.Deployment{ID: id, Place: settings(t, m.place), Bundle: b}
}

func (m *machine) touch(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func certificateIn(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		t.Fatalf("%s holds no PEM", path)
	}
	return block.Bytes
}

// left lists what lies in the directory.
func (m *machine) left(t testing.TB) []string {
	t.Helper()
	entries, err := os.ReadDir(m.dir + "/etc")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestContract(t *testing.T) {
	connectortest.Target{New: func(t *testing.T) connectortest.TargetUnderTest {
		m := newMachine(t)
		return connectortest.TargetUnderTest{
			Target: m.target, Place: settings(t, m.place),
			Installed: func(t *testing.T) []byte { return certificateIn(t, m.place.Certificate) },
			Active:    func(t *testing.T) []byte { return certificateIn(t, m.dir+"/active") },
		}
	}}.Run(t)
}

func TestDefinitionIsWhole(t *testing.T) {
	if err := Definition().Validate(); err != nil {
		t.Error(err)
	}
}

func deploy(t testing.TB, m *machine, d connector.Deployment) {
	t.Helper()
	for _, err := range []error{m.Prepare(t.Context(), d), m.Install(t.Context(), d), m.Activate(t.Context(), d), m.Verify(t.Context(), d), m.Finish(t.Context(), d)} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestFilesHoldWhatTheirNamesSayAndNothingElseIsLeft(t *testing.T) {
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	b := ca.Bundle(t, "a.example")

	deploy(t, m, m.deployment(t, "one", b))

	for path, want := range map[string][]string{
		m.place.Certificate: {string(b.Certificate)},
		m.place.Chain:       {string(ca.Issuing.Raw)},
		m.place.FullChain:   {string(b.Certificate), string(ca.Issuing.Raw)},
		m.place.Key:         {string(b.Key.Reveal())},
	} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
			got = append(got, string(block.Bytes))
		}
		if !cmp.Equal(want, got) {
			t.Errorf("%s holds something else", path)
		}
	}
	if d := cmp.Diff([]string{"cert.pem", "chain.pem", "fullchain.pem", "key.pem"}, m.left(t)); d != "" {
		t.Error(d)
	}
}

func TestModesAndOwnerAreAsAsked(t *testing.T) {
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	m.place.Mode, m.place.KeyMode = "0640", "0440"
	wantOwner := ids{os.Getuid(), os.Getgid()}
	if os.Getuid() == 0 {
		m.place.Owner, m.place.Group = "nobody", "12"
		wantOwner = ids{65534, 12}
	}

	deploy(t, m, m.deployment(t, "one", ca.Bundle(t, "a.example")))

	for path, want := range map[string]fs.FileMode{m.place.Certificate: 0o640, m.place.FullChain: 0o640, m.place.Key: 0o440} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		if got := ownerOf(info); got != wantOwner {
			t.Errorf("%s belongs to %v, want %v", path, got, wantOwner)
		}
	}
}

func TestOwnerStaysAndRollBackRestoresTheMode(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to give a file away")
	}
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	deploy(t, m, m.deployment(t, "one", ca.Bundle(t, "a.example")))
	if err := errors.Join(os.Chown(m.place.Key, 65534, 12), os.Chmod(m.place.Key, 0o440)); err != nil {
		t.Fatal(err)
	}
	d := m.deployment(t, "two", ca.Bundle(t, "b.example"))

	if err := m.Install(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	info, _ := os.Stat(m.place.Key)
	if ownerOf(info) != (ids{65534, 12}) || info.Mode() != 0o600 {
		t.Errorf("new key file: %v %v", ownerOf(info), info.Mode())
	}

	if err := m.RollBack(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	info, _ = os.Stat(m.place.Key)
	if ownerOf(info) != (ids{65534, 12}) || info.Mode() != 0o440 {
		t.Errorf("key file after roll-back: %v %v", ownerOf(info), info.Mode())
	}
}

func TestKeyIsNeverReadableByOthersWhileItIsWritten(t *testing.T) {
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	seen := 0
	m.before = func(op string) {
		if !strings.HasPrefix(op, "written .key.pem") {
			return
		}
		info, err := os.Stat(filepath.Join(m.dir, "etc", strings.TrimPrefix(op, "written ")))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", op, info.Mode(), err)
		}
		seen++
	}
	m.place.KeyMode = "0640"

	deploy(t, m, m.deployment(t, "one", ca.Bundle(t, "a.example")))

	if seen == 0 {
		t.Error("never looked")
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	for name, c := range map[string]Config{
		"no root":          {},
		"relative root":    {Roots: []string{"etc"}},
		"unclean root":     {Roots: []string{"/etc/../root"}},
		"relative program": {Roots: []string{"/etc"}, Check: []string{"nginx"}},
		"endless":          {Roots: []string{"/etc"}, Timeout: 100000},
	} {
		if _, err := Definition().Target(settings(t, c), connector.Env{}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want fault.Invalid", name, err)
		}
	}
}

func TestBadPlacesAreRefused(t *testing.T) {
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	b := ca.Bundle(t, "a.example")
	for name, spoil := range map[string]func(*Place){
		"nothing":          func(p *Place) { *p = Place{} },
		"key alone":        func(p *Place) { *p = Place{Key: p.Key} },
		"relative":         func(p *Place) { p.Key = "key.pem" },
		"dots":             func(p *Place) { p.Key = m.dir + "/etc/../key.pem" },
		"outside":          func(p *Place) { p.Key = m.dir + "/key.pem" },
		"root itself":      func(p *Place) { p.Key = m.dir + "/etc" },
		"sibling prefix":   func(p *Place) { p.Key = m.dir + "/etcetera" },
		"NUL":              func(p *Place) { p.Key += "\x00.pem" },
		"same file twice":  func(p *Place) { p.Key = p.Certificate },
		"no such folder":   func(p *Place) { p.Key = m.dir + "/etc/deep/key.pem" },
		"long name":        func(p *Place) { p.Key = m.dir + "/etc/" + strings.Repeat("k", 121) },
		"public key file":  func(p *Place) { p.KeyMode = "0604" },
		"setuid":           func(p *Place) { p.Mode = "4755" },
		"no number":        func(p *Place) { p.Mode = "rw" },
		"unreadable":       func(p *Place) { p.Mode = "0200" },
		"unknown user":     func(p *Place) { p.Owner = "no-such-user" },
		"unknown group":    func(p *Place) { p.Group = "no-such-group" },
		"directory as key": func(p *Place) { p.Key = m.dir + "/etc/dir" },
	} {
		if err := os.MkdirAll(m.dir+"/etc/dir", 0o755); err != nil {
			t.Fatal(err)
		}
		d := m.deployment(t, "one", b)
		place := m.place
		spoil(&place)
		d.Place = settings(t, place)

		if err := m.Prepare(t.Context(), d); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: prepare: got %v, want fault.Invalid", name, err)
		}
		if err := m.Install(t.Context(), d); err == nil {
			t.Errorf("%s: installed", name)
		}
	}
	if d := cmp.Diff([]string{"active", "check", "etc", "reload"}, append([]string{"active"}, names(t, m.dir)...)); d != "" {
		t.Errorf("something was written outside:\n%s", d)
	}
}

func TestBadBundlesAreRefused(t *testing.T) {
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	good, other := ca.Bundle(t, "a.example"), ca.Bundle(t, "b.example")
	for name, spoil := range map[string]func(*connector.Bundle){
		"no certificate":  func(b *connector.Bundle) { b.Certificate = nil },
		"no key":          func(b *connector.Bundle) { b.Key = connector.Secret{} },
		"key of another":  func(b *connector.Bundle) { b.Key = other.Key },
		"no chain":        func(b *connector.Bundle) { b.Chain = nil },
		"unreadable key":  func(b *connector.Bundle) { b.Key = connector.NewSecret([]byte("x")) },
		"bad certificate": func(b *connector.Bundle) { b.Certificate = []byte("x") },
	} {
		b := good
		spoil(&b)

		if err := m.Prepare(t.Context(), m.deployment(t, "one", b)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want fault.Invalid", name, err)
		}
		if err := m.Install(t.Context(), m.deployment(t, "one", b)); err == nil {
			t.Errorf("%s: installed", name)
		}
	}
	if left := m.left(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDeploymentIdCannotBeAPath(t *testing.T) {
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	for _, id := range []string{"", "a/b", "..", "a b", "../../x"} {
		if m.Install(t.Context(), m.deployment(t, id, ca.Bundle(t, "a.example"))) == nil {
			t.Errorf("took %q", id)
		}
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var ns []string
	for _, e := range entries {
		ns = append(ns, e.Name())
	}
	return ns
}
