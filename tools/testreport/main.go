// Testreport runs go test with the arguments given, prints what go test prints, and at
// the end lists the tests that were skipped and why. With CI=true a skip is a failure,
// and so is a run in which no test ran.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string) (int, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	r := newReport(os.Stdout)
	readErr := r.read(out)
	waitErr := cmd.Wait()
	r.summary(os.Getenv("CI") == "true")
	switch {
	case readErr != nil:
		return 1, readErr
	case waitErr != nil && cmd.ProcessState.ExitCode() > 0:
		return cmd.ProcessState.ExitCode(), nil
	case waitErr != nil:
		return 1, waitErr
	case os.Getenv("CI") == "true" && (len(r.skipped) > 0 || r.passed == 0):
		return 1, nil
	}
	return 0, nil
}

// action is one line of go test -json; see "go doc test2json".
type action struct {
	Action  string
	Package string
	Test    string
	Output  string
}

type skip struct{ where, reason string }

// report prints the output of failing tests and of packages, and remembers skips.
type report struct {
	out     io.Writer
	tests   map[string]*bytes.Buffer // output of running tests, by package and name
	skipped []skip
	passed  int
	failed  int
}

func newReport(out io.Writer) *report {
	return &report{out: out, tests: map[string]*bytes.Buffer{}}
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) line(line []byte) {
	var a action
	if json.Unmarshal(line, &a) != nil { // go itself speaks, not a test
		r.out.Write(line)
		return
	}
	key := a.Package + " " + a.Test
	switch {
	case a.Action == "build-output":
		io.WriteString(r.out, a.Output)
	case a.Test == "":
		if a.Action == "output" && a.Output != "PASS\n" {
			io.WriteString(r.out, a.Output)
		}
	case a.Action == "output":
		if r.tests[key] == nil {
			r.tests[key] = &bytes.Buffer{}
		}
		r.tests[key].WriteString(a.Output)
	case a.Action == "fail":
		r.failed++
		if b := r.tests[key]; b != nil {
			r.out.Write(b.Bytes())
		}
		delete(r.tests, key)
	case a.Action == "skip":
		r.skipped = append(r.skipped, skip{where: key, reason: reason(r.tests[key])})
		delete(r.tests, key)
	case a.Action == "pass":
		r.passed++
		delete(r.tests, key)
	}
}

// reason finds the message of t.Skip in a test's output: what it printed but its frame.
func reason(output *bytes.Buffer) string {
	if output == nil {
		return "no reason given"
	}
	var said []string
	for line := range strings.Lines(output.String()) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		said = append(said, line)
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

func (r *report) summary(ci bool) {
	// A test that never ended: its binary crashed or ran out of time. Its output says where.
	for _, b := range r.tests {
		if strings.Contains(b.String(), "panic:") {
			r.out.Write(b.Bytes())
		}
	}
	if len(r.skipped) > 0 {
		fmt.Fprintf(r.out, "\nSkipped, and what each needs:\n")
		for _, s := range r.skipped {
			fmt.Fprintf(r.out, "  %s: %s\n", s.where, s.reason)
		}
		if ci {
			fmt.Fprintln(r.out, "CI=true: a skipped test is a failure.")
		}
	}
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
}
