// Package story walks through the product as its users do: one script from an empty folder
// to a certificate that was found, judged, replaced, installed, proved and revoked; and the
// tour that the README promises.
package story

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

const (
	tree = "../.."
	// programs names the folder with the programs under test.
	programs = "CHATELAINE_STORY_PROGRAMS"
	// within is set in a process that is in a world of its own, to its hosts file.
	within = "CHATELAINE_STORY_WORLD"
)

// TestMain builds the programs and runs the tests in a world of their own, if it can.
func TestMain(m *testing.M) {
	if os.Getenv(within) != "" {
		furnish()
		os.Exit(tests(m))
	}
	os.Exit(outside(m))
}

// tests runs the tests without what the developer's shell says about another server.
func tests(m *testing.M) int {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		for _, prefix := range []string{"CHATELAINE_", "AZURE_", "IDENTITY_", "SSL_CERT_"} {
			if strings.HasPrefix(name, prefix) && name != programs && name != within {
				_ = os.Unsetenv(name)
			}
		}
	}
	os.Setenv("PATH", os.Getenv(programs)+":"+os.Getenv("PATH")+":/usr/sbin:/sbin") // Debian's nginx is not in a user's path
	return m.Run()
}

func outside(m *testing.M) int {
	bin, err := os.MkdirTemp("", "chatelaine-story")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "./cmd/chatelaine", "./test/story/sdk")
	build.Dir = tree
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %v\n%s", build.Args, err, out)
		return 1
	}
	if code, entered := enter(programs + "=" + bin); entered {
		return code
	}
	os.Setenv(programs, bin)
	return tests(m)
}

// fresh opens the folders of the programs, so that go test knows what its cached result
// depends on: it sees what a test opens, and not what the go command opens for it.
func fresh(t *testing.T) {
	t.Helper()
	for _, folder := range []string{"cmd", "internal", "test/story/sdk"} {
		err := filepath.WalkDir(filepath.Join(tree, folder), func(_ string, _ fs.DirEntry, err error) error { return err })
		if err != nil {
			t.Fatal(err)
		}
	}
}

// needs skips the test, or fails it with CI=true, where a vault's name does not resolve or
// one of the programs is missing.
func needs(t *testing.T, names ...string) {
	t.Helper()
	if _, err := net.LookupHost("default.localhost"); err != nil {
		without(t, "needs Linux namespaces, or this line in /etc/hosts: 127.0.0.1 localhost default.localhost")
	}
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			without(t, "needs %s: install the package of that name", name)
		}
	}
}

func without(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func TestStory(t *testing.T) { tell(t, "story", false) }

// Between any two steps a kill -9 and a restart change nothing.
func TestStorySurvivesAKillBeforeEveryStep(t *testing.T) { tell(t, "story", true) }

func TestRenewalResumesWhereverItIsKilled(t *testing.T) { tell(t, "killed", false) }

func tell(t *testing.T, script string, restless bool) {
	t.Parallel()
	fresh(t)
	needs(t, "nginx", "openssl")
	testscript.Run(t, testscript.Params{
		Files: []string{filepath.Join("testdata", script+".txtar")},
		Setup: func(e *testscript.Env) error {
			ports, err := freePorts(3)
			if err != nil {
				return err
			}
			e.Setenv("PORT", ports[0])
			e.Setenv("SHOP", "127.0.0.1:"+ports[2])
			s := &server{
				t: e.T().(testing.TB), data: filepath.Join(e.WorkDir, "data"),
				listen: "127.0.0.1:" + ports[0], status: "127.0.0.1:" + ports[1], restless: restless,
			}
			e.Values[key{}] = s
			e.Defer(s.end)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":       serve,
			"crash":       crash,
			"chatelaine":  program("chatelaine"),
			"sdk":         program("sdk"),
			"openssl":     program("openssl"),
			"nginx":       nginx,
			"served":      served,
			"fingerprint": fingerprint,
			"keep":        keep,
			"torment":     torment,
		},
	})
}

// freePorts returns ports on which nobody listens now.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all are found, so that they differ
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}
