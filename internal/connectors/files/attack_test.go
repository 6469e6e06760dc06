package files

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"chatelaine.dev/internal/connector/connectortest"
	"chatelaine.dev/internal/fault"
	"github.com/google/go-cmp/cmp"
)

func ownerOf(info fs.FileInfo) ids {
	st := info.Sys().(*syscall.Stat_t)
	return ids{int(st.Uid), int(st.Gid)}
}

// Whoever may write below a root must not make the server write elsewhere.
func TestLinksNeverLeadOutOfTheRoot(t *testing.T) {
	for name, link := range map[string]func(m *machine, outside string) error{
		"directory, absolute": func(m *machine, outside string) error {
			m.place.Key = m.dir + "/etc/sub/key.pem"
			return os.Symlink(outside, m.dir+"/etc/sub")
		},
		"directory, relative": func(m *machine, _ string) error {
			m.place.Key = m.dir + "/etc/sub/key.pem"
			return os.Symlink("../outside", m.dir+"/etc/sub")
		},
		"directory in a directory": func(m *machine, outside string) error {
			m.place.Key = m.dir + "/etc/a/b/key.pem"
			if err := os.Mkdir(m.dir+"/etc/a", 0o755); err != nil {
				return err
			}
			return os.Symlink(outside, m.dir+"/etc/a/b")
		},
		"file":                  func(m *machine, outside string) error { return os.Symlink(outside+"/victim", m.place.Key) },
		"file, dangling":        func(m *machine, outside string) error { return os.Symlink(outside+"/new", m.place.Key) },
		"file, inside the root": func(m *machine, _ string) error { return os.Symlink("elsewhere.pem", m.place.Key) },
		"named pipe":            func(m *machine, _ string) error { return syscall.Mkfifo(m.place.Key, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			m, ca := newMachine(t), connectortest.NewAuthority(t)
			outside := filepath.Join(m.dir, "outside")
			must(t, os.Mkdir(outside, 0o755))
			must(t, os.WriteFile(outside+"/victim", []byte("precious"), 0o600))
			must(t, link(m, outside))
			d := m.deployment(t, "one", ca.Bundle(t, "a.example"))

			if err := m.Prepare(t.Context(), d); !fault.Is(err, fault.Invalid) {
				t.Errorf("prepare: got %v, want fault.Invalid", err)
			}
			if err := m.Install(t.Context(), d); !fault.Is(err, fault.Invalid) {
				t.Errorf("install: got %v, want fault.Invalid", err)
			}
			if d := cmp.Diff([]string{"victim"}, names(t, outside)); d != "" {
				t.Error(d)
			}
			if b, err := os.ReadFile(outside + "/victim"); err != nil || string(b) != "precious" {
				t.Errorf("victim holds %q, %v", b, err)
			}
		})
	}
}

// What lies in wait under the name that is written aside must be neither followed nor kept.
func TestLinkInTheWayOfWritingIsNotFollowed(t *testing.T) {
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	victim := filepath.Join(m.dir, "victim")
	must(t, os.WriteFile(victim, []byte("precious"), 0o600))
	must(t, os.Symlink(victim, m.dir+"/etc/.key.pem.one.new"))
	must(t, os.Symlink("../victim", m.dir+"/etc/.cert.pem.one.new"))
	d := m.deployment(t, "one", ca.Bundle(t, "a.example"))

	deploy(t, m, d)

	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("victim holds %q, %v", b, err)
	}
}

func TestLinkInsteadOfAJournalIsNotFollowed(t *testing.T) {
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	victim := filepath.Join(m.dir, "victim")
	must(t, os.WriteFile(victim, []byte("one absent"), 0o600))
	must(t, os.Symlink(victim, m.dir+"/etc/.key.pem.chatelaine"))
	d := m.deployment(t, "one", ca.Bundle(t, "a.example"))

	if err := m.Install(t.Context(), d); err == nil {
		t.Error("installed over a journal that leads out of the root")
	}
	if _, err := os.Stat(victim); err != nil {
		t.Error(err)
	}
}

func TestTwoDeploymentsNeverMixTheirFiles(t *testing.T) {
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	old := ca.Bundle(t, "old.example")
	deploy(t, m, m.deployment(t, "zero", old))
	first, second := m.deployment(t, "one", ca.Bundle(t, "a.example")), m.deployment(t, "two", ca.Bundle(t, "b.example"))
	must(t, m.Install(t.Context(), first))

	for name, err := range map[string]error{"prepare": m.Prepare(t.Context(), second), "install": m.Install(t.Context(), second)} {
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: got %v, want fault.Conflict", name, err)
		}
	}
	must(t, m.RollBack(t.Context(), second))
	must(t, m.Finish(t.Context(), second))
	must(t, m.Verify(t.Context(), first))

	must(t, m.RollBack(t.Context(), first))
	must(t, m.Verify(t.Context(), m.deployment(t, "zero", old)))
	deploy(t, m, second)
}

func TestDeploymentThatFindsOneFileTakenChangesNone(t *testing.T) {
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	old := ca.Bundle(t, "old.example")
	deploy(t, m, m.deployment(t, "zero", old))
	whole := m.place
	m.place = Place{Certificate: whole.Certificate}
	must(t, m.Install(t.Context(), m.deployment(t, "one", ca.Bundle(t, "a.example"))))
	m.place = Place{Key: whole.Key, FullChain: whole.FullChain, Certificate: whole.Certificate}
	key, err := os.ReadFile(whole.Key)
	must(t, err)

	if err := m.Install(t.Context(), m.deployment(t, "two", ca.Bundle(t, "b.example"))); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v, want fault.Conflict", err)
	}

	if now, err := os.ReadFile(whole.Key); err != nil || !bytes.Equal(now, key) {
		t.Error("the key file was replaced")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
