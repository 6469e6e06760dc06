package story

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// server is a running "chatelaine serve" as an operator has it: a process, and nothing else.
type server struct {
	t                    testing.TB
	data, listen, status string
	// restless has the server killed before every step.
	restless bool

	running *exec.Cmd
	printed *output
	before  []byte // what earlier processes printed
}

// start returns when the server is ready.
func (s *server) start() error {
	c := exec.Command("chatelaine", "serve", "--data", s.data, "--listen", s.listen, "--status", s.status)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	printed, out, err := listenFor("ready https://")
	if err != nil {
		return err
	}
	c.Stdout, c.Stderr = out, out
	err = c.Start()
	out.Close()
	if err != nil {
		return err
	}
	s.running, s.printed = c, printed
	if !<-printed.ready {
		return fmt.Errorf("the server ended before it was ready: %w\n%s", c.Wait(), printed)
	}
	return nil
}

// kill ends the server, and what it has started, without warning.
func (s *server) kill() {
	if s.running == nil {
		return
	}
	_ = syscall.Kill(-s.running.Process.Pid, syscall.SIGKILL)
	_ = s.running.Wait()
	s.before = fmt.Appendf(s.before, "%skilled\n", s.printed)
	s.running = nil
}

// end stops the server in an orderly way. What it said helps who must find out what failed.
func (s *server) end() {
	if s.running != nil {
		_ = s.running.Process.Signal(syscall.SIGTERM)
		if err := s.running.Wait(); err != nil {
			s.t.Errorf("stop the server: %v", err)
		}
		s.running = nil
	}
	if s.t.Failed() {
		s.t.Logf("the server said:\n%s%s", s.before, s.printed)
	}
}

// output is what a process prints.
type output struct {
	ready chan bool // true when the awaited line was printed, closed at the end

	ended sync.WaitGroup
	text  bytes.Buffer
}

// listenFor returns a file for a process to print to; the caller closes it once the process
// has it. A line that begins with the prefix is awaited.
func listenFor(prefix string) (*output, *os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	o := &output{ready: make(chan bool, 1)}
	o.ended.Go(func() {
		defer r.Close()
		defer close(o.ready)
		for lines, awaited := bufio.NewReader(r), true; ; {
			line, err := lines.ReadString('\n')
			o.text.WriteString(line)
			if awaited && strings.HasPrefix(line, prefix) {
				awaited = false
				o.ready <- true
			}
			if err != nil {
				return
			}
		}
	})
	return o, w, nil
}

// String waits for the process, and whoever else has its output, to end.
func (o *output) String() string {
	o.ended.Wait()
	return o.text.String()
}
