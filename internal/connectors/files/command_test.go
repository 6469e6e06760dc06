package files

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"chatelaine.dev/internal/connector/connectortest"
	"chatelaine.dev/internal/fault"
)

func TestFailingCommandRollsBackAndSaysWhy(t *testing.T) {
	for flag, want := range map[string]string{"broken": "syntax error in cert.pem", "stubborn": "will not"} {
		m, ca := newMachine(t), connectortest.NewAuthority(t)
		old := ca.Bundle(t, "old.example")
		deploy(t, m, m.deployment(t, "zero", old))
		d := m.deployment(t, "one", ca.Bundle(t, "young.example"))
		must(t, m.Install(t.Context(), d))
		m.touch(t, flag)

		err := m.Activate(t.Context(), d)

		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want fault.Conflict with %q", flag, err, want)
		}
		must(t, os.Remove(m.dir+"/"+flag))
		must(t, m.RollBack(t.Context(), d))
		if string(certificateIn(t, m.place.Certificate)) != string(old.Certificate) || string(certificateIn(t, m.dir+"/active")) != string(old.Certificate) {
			t.Errorf("%s: the old certificate is not back", flag)
		}
	}
}

func TestRollBackIsNotDoneBeforeTheProgramReadTheOldFiles(t *testing.T) {
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	old := ca.Bundle(t, "old.example")
	deploy(t, m, m.deployment(t, "zero", old))
	d := m.deployment(t, "one", ca.Bundle(t, "young.example"))
	must(t, m.Install(t.Context(), d))
	must(t, m.Activate(t.Context(), d))
	m.touch(t, "stubborn")

	if m.RollBack(t.Context(), d) == nil {
		t.Fatal("rolled back although the program did not reload")
	}
	if string(certificateIn(t, m.place.Certificate)) != string(old.Certificate) {
		t.Error("the old file is not back")
	}

	must(t, os.Remove(m.dir+"/stubborn"))
	must(t, m.RollBack(t.Context(), d))
	if string(certificateIn(t, m.dir+"/active")) != string(old.Certificate) {
		t.Error("the program still uses the new certificate")
	}
}

func TestCommandGetsNoShellAndNoEnvironment(t *testing.T) {
	t.Setenv("ROOT_KEY_PASSPHRASE", "canary")
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	show := m.script(t, "show", `env > `+m.dir+`/seen; printf '%s|' "$@" >> `+m.dir+`/seen`)
	m.target = m.connect(t, Config{Roots: m.config.Roots, Check: []string{show, "$(id)", "; touch x", "*"}})

	must(t, m.Activate(t.Context(), m.deployment(t, "one", ca.Bundle(t, "a.example"))))

	b, err := os.ReadFile(m.dir + "/seen")
	must(t, err)
	if strings.Contains(string(b), "canary") {
		t.Error("the command saw the server's environment")
	}
	if !strings.HasSuffix(string(b), "$(id)|; touch x|*|") {
		t.Errorf("the words did not arrive as they are: %s", b)
	}
}

func TestHangingCommandEndsWithItsChildren(t *testing.T) {
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	// The child holds the pipe open for as long as it lives.
	pipe := m.dir + "/pipe"
	must(t, syscall.Mkfifo(pipe, 0o600))
	reader, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	must(t, err)
	defer reader.Close()
	hang := m.script(t, "hang", `sleep 60 > `+pipe+` & echo started > `+pipe+`; wait`)
	m.target = m.connect(t, Config{Roots: m.config.Roots, Check: []string{hang}, Timeout: 1})

	err = m.Activate(t.Context(), m.deployment(t, "one", ca.Bundle(t, "a.example")))

	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want fault.Unavailable", err)
	}
	must(t, reader.SetReadDeadline(time.Now().Add(20*time.Second)))
	if got, err := io.ReadAll(reader); err != nil || string(got) != "started\n" {
		t.Errorf("read %q, %v: the child is still there", got, err)
	}
}

func TestReloadMayLeaveADaemon(t *testing.T) {
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	daemon := m.script(t, "daemon", `sleep 5 & exit 0`)
	m.target = m.connect(t, Config{Roots: m.config.Roots, Reload: []string{daemon}})

	must(t, m.Activate(t.Context(), m.deployment(t, "one", ca.Bundle(t, "a.example"))))
}

func TestOutputOfACommandIsBounded(t *testing.T) {
	m, ca := newMachine(t), connectortest.NewAuthority(t)
	flood := m.script(t, "flood", `head -c 5000000 /dev/zero | tr '\0' x; exit 1`)
	m.target = m.connect(t, Config{Roots: m.config.Roots, Check: []string{flood}})

	err := m.Activate(t.Context(), m.deployment(t, "one", ca.Bundle(t, "a.example")))

	if err == nil || len(err.Error()) > maxOutput+200 || !strings.HasSuffix(err.Error(), "x…") {
		t.Errorf("got %.100v… of %d bytes", err, len(err.Error()))
	}
}

func TestCheckFindsWhatIsMissing(t *testing.T) {
	m := newMachine(t)
	must(t, m.Check(t.Context()))
	for name, c := range map[string]Config{
		"root":       {Roots: []string{m.dir + "/nowhere"}},
		"program":    {Roots: m.config.Roots, Reload: []string{m.dir + "/nothing"}},
		"no program": {Roots: m.config.Roots, Reload: []string{m.dir + "/etc"}},
	} {
		if err := m.connect(t, c).Check(t.Context()); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want fault.Invalid", name, err)
		}
	}
}
