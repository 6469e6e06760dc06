package story

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The tour of the README works when it is pasted: its first block into one terminal, the
// others into another, in a fresh copy of the sources.
func TestTourOfTheReadmeWorksWhenPasted(t *testing.T) {
	t.Parallel()
	fresh(t)
	needs(t, "nginx", "openssl", "make", "git")
	for _, port := range []string{"8443", "9443"} {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			without(t, "needs Linux namespaces, or port %s to be free", port)
		}
		l.Close()
	}
	blocks := tour(t)
	folder := checkout(t)

	printed, out, err := listenFor("ready https://localhost:8443")
	if err != nil {
		t.Fatal(err)
	}
	first := paste(t, folder, blocks[0], out)
	out.Close()
	if !<-printed.ready {
		t.Fatalf("%s ended with %v:\n%s", blocks[0], first.Wait(), printed)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "second")) // no pipe, which what is left running would hold open
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ended := paste(t, folder, strings.Join(blocks[1:], "\n"), file).Wait()
	content, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	shown := string(content)
	t.Log(shown)
	if ended != nil {
		_ = syscall.Kill(-first.Process.Pid, syscall.SIGKILL) // it would print for ever
		t.Fatalf("the tour ended with %v; the server said:\n%s", ended, printed)
	}

	for _, wanted := range []string{"signed and verified", "self-signed", "weak-key", "Verify return code: 0 (ok)", "certificate revoked"} {
		if !strings.Contains(shown, wanted) {
			t.Errorf("the tour does not show %q", wanted)
		}
	}
	if err := syscall.Kill(-first.Process.Pid, syscall.SIGINT); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	_ = first.Wait() // make tells that it was interrupted
}

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// tour returns the shell blocks of the README's tour.
func tour(t *testing.T) []string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(tree, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(readme), "\n## Five minutes\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var blocks []string
	for _, m := range shellBlock.FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	if !found || len(blocks) < 2 {
		t.Fatalf("README.md has no tour of at least two blocks under \"Five minutes\"")
	}
	return blocks
}

// checkout copies what git has, and would have, as a newcomer's clone.
func checkout(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = tree
	names, err := list.Output()
	if err != nil {
		t.Fatalf("list the sources: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		from, to := filepath.Join(tree, name), filepath.Join(folder, name)
		info, err := os.Stat(from)
		if err != nil { // deleted, and not committed yet
			continue
		}
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, content, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// paste gives commands to a shell, as somebody does who pastes them into a terminal. What
// the shell prints goes to out.
func paste(t *testing.T, folder, commands string, out *os.File) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail")
	c.Dir = folder
	c.Env = append(os.Environ(), "TMPDIR="+temporary(t))
	c.Stdin = strings.NewReader(commands)
	c.Stdout, c.Stderr = out, out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// temporary is a folder for what the tour's mktemp makes. An nginx that the tour did not
// come to stop ends with the test.
func temporary(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	t.Cleanup(func() {
		left, err := filepath.Glob(filepath.Join(folder, "*", "nginx.pid"))
		if err != nil {
			t.Error(err)
		}
		for _, file := range left {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // it ended just now
			}
			if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && pid > 1 {
				_ = syscall.Kill(pid, syscall.SIGTERM)
			}
		}
	})
	return folder
}
