package files

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/connector/connectortest"
	"github.com/google/go-cmp/cmp"
)

// story is what a child process does, and before which change to the file system it is
// killed; 0 for never.
type story struct {
	Config                  Config
	Place                   Place
	ID                      string
	Stages                  []string
	Progress                string // file that names the stage under way
	Certificate, Chain, Key []byte
	Kill                    int
}

// TestMain plays a story instead of the tests when it is started as a child.
func TestMain(m *testing.M) {
	s := os.Getenv("FILES_STORY")
	if s == "" {
		os.Exit(m.Run())
	}
	if err := play(s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func play(encoded string) error {
	var s story
	if err := json.Unmarshal([]byte(encoded), &s); err != nil {
		return err
	}
	place, err := json.Marshal(s.Place)
	if err != nil {
		return err
	}
	made, err := newTarget(s.Config, connector.Env{})
	if err != nil {
		return err
	}
	t, changes := made.(*target), 0
	t.before = func(string) {
		if changes++; changes == s.Kill {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	d := connector.Deployment{ID: s.ID, Place: place, Bundle: connector.Bundle{
		Certificate: s.Certificate, Chain: [][]byte{s.Chain}, Key: connector.NewSecret(s.Key),
	}}
	for _, stage := range s.Stages {
		if err := os.WriteFile(s.Progress, []byte(stage), 0o600); err != nil {
			return err
		}
		if err := runStage(context.Background(), t, stage, d); err != nil {
			return err
		}
	}
	return nil
}

func runStage(ctx context.Context, t connector.Target, stage string, d connector.Deployment) error {
	return map[string]func(context.Context, connector.Deployment) error{
		"install": t.Install, "activate": t.Activate, "finish": t.Finish, "roll back": t.RollBack,
	}[stage](ctx, d)
}

// playKilled plays the story in a child and reports whether it was killed, and in which stage.
func playKilled(t *testing.T, m *machine, d connector.Deployment, stages []string, kill int) (killed bool, stage string) {
	t.Helper()
	s := story{
		Config: m.config, Place: m.place, ID: d.ID, Stages: stages, Progress: m.dir + "/progress",
		Certificate: d.Certificate, Chain: d.Chain[0], Key: d.Key.Reveal(), Kill: kill,
	}
	encoded, err := json.Marshal(s)
	must(t, err)
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "FILES_STORY="+string(encoded))
	out, err := c.CombinedOutput()
	if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		at, err := os.ReadFile(s.Progress)
		must(t, err)
		return true, string(at)
	}
	if err != nil {
		t.Fatalf("the child failed: %v: %s", err, out)
	}
	return false, ""
}

// killCase is one world before the deployment under test.
type killCase struct {
	name string
	old  *connector.Bundle // what is there before; nil for nothing
}

func killCases(t *testing.T, ca *connectortest.Authority) []killCase {
	b := ca.Bundle(t, "old.example")
	return []killCase{{"over an old one", &b}, {"the first", nil}}
}

func (k killCase) machine(t *testing.T) *machine {
	m := newMachine(t)
	m.place.Chain, m.place.FullChain = "", "" // two files show all that four would, in half the time
	if k.old != nil {
		deploy(t, m, m.deployment(t, "zero", *k.old))
	}
	return m
}

// whole checks that every file is one that somebody wrote as a whole. Where there was a
// file before, the first of the bundles, there is one at every moment.
func (m *machine) whole(t *testing.T, bundles ...*connector.Bundle) {
	t.Helper()
	var allowed [][]byte
	for _, b := range bundles {
		if b == nil {
			continue
		}
		list, err := m.place.files("x")
		must(t, err)
		must(t, render(list, *b))
		for _, f := range list {
			allowed = append(allowed, f.content)
		}
	}
	for _, path := range []string{m.place.Certificate, m.place.Key} {
		content, err := os.ReadFile(path)
		if err != nil && bundles[0] != nil {
			t.Errorf("%s is gone: %v", path, err)
		}
		if err == nil && !slices.ContainsFunc(allowed, func(a []byte) bool { return bytes.Equal(a, content) }) {
			t.Errorf("%s is torn: %d bytes", path, len(content))
		}
	}
}

// is checks that the bundle, or nothing, is installed and used, and that nothing is left over.
func (m *machine) is(t *testing.T, b *connector.Bundle) {
	t.Helper()
	var want []byte
	var files []string
	if b != nil {
		want, files = b.Certificate, []string{"cert.pem", "key.pem"}
		must(t, m.Verify(t.Context(), m.deployment(t, "check", *b)))
	}
	if !bytes.Equal(certificateIn(t, m.dir+"/active"), want) {
		t.Error("the program uses another certificate")
	}
	if d := cmp.Diff(files, m.left(t)); d != "" {
		t.Errorf("left behind:\n%s", d)
	}
}

func TestKilledAnywhereADeploymentIsResumed(t *testing.T) {
	ca := connectortest.NewAuthority(t)
	young := ca.Bundle(t, "young.example")
	forward := []string{"install", "activate", "finish"}
	for _, k := range killCases(t, ca) {
		t.Run(k.name, func(t *testing.T) {
			kills := 0
			for n := 1; ; n++ {
				m := k.machine(t)
				d := m.deployment(t, "one", young)
				killed, stage := playKilled(t, m, d, forward, n)
				if !killed {
					break
				}
				kills++
				m.whole(t, k.old, &young)

				for _, s := range forward[slices.Index(forward, stage):] {
					must(t, runStage(t.Context(), m, s, d))
				}
				m.is(t, &young)
			}
			t.Logf("killed at %d points", kills)
			if kills < 15 {
				t.Errorf("only %d points", kills)
			}
		})
	}
}

func TestKilledAnywhereADeploymentIsRolledBack(t *testing.T) {
	ca := connectortest.NewAuthority(t)
	young := ca.Bundle(t, "young.example")
	for _, k := range killCases(t, ca) {
		t.Run(k.name, func(t *testing.T) {
			for n := 1; ; n++ {
				m := k.machine(t)
				d := m.deployment(t, "one", young)
				killed, _ := playKilled(t, m, d, []string{"install", "activate"}, n)
				if !killed {
					break
				}

				must(t, m.RollBack(t.Context(), connector.Deployment{ID: d.ID, Place: d.Place}))
				m.is(t, k.old)
			}
		})
	}
}

func TestKilledAnywhereARollBackIsResumed(t *testing.T) {
	ca := connectortest.NewAuthority(t)
	young := ca.Bundle(t, "young.example")
	for _, k := range killCases(t, ca) {
		t.Run(k.name, func(t *testing.T) {
			kills := 0
			for n := 1; ; n++ {
				m := k.machine(t)
				d := m.deployment(t, "one", young)
				must(t, m.Install(t.Context(), d))
				must(t, m.Activate(t.Context(), d))
				killed, _ := playKilled(t, m, d, []string{"roll back"}, n)
				if !killed {
					break
				}
				kills++
				m.whole(t, k.old, &young)

				must(t, m.RollBack(t.Context(), d))
				m.is(t, k.old)
			}
			if kills < 10 {
				t.Errorf("only %d points", kills)
			}
		})
	}
}
