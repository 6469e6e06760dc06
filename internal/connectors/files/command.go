package files

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"chatelaine.dev/internal/fault"
)

// maxOutput is how much of a command's output is kept for the message.
const maxOutput = 2 << 10

// run runs a command of the connection, without a shell and without the server's
// environment, in which secrets may be. Its whole process group ends with the time-out.
func (t *target) run(ctx context.Context, what string, argv []string) error {
	if len(argv) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout())
	defer cancel()
	var out bounded
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	c.Dir = "/"
	c.Stdout, c.Stderr = &out, &out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	// A reload may leave a daemon behind that holds on to the output.
	c.WaitDelay = time.Second
	t.before("run " + what)
	err := c.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil
	case ctx.Err() != nil:
		return fault.New(fault.Unavailable, "CommandTimeout", "the %s command took longer than %s", what, t.timeout())
	}
	return fault.New(fault.Conflict, "CommandFailed", "the %s command ended with %s: %s", what, describe(err), out.text())
}

func describe(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ProcessState.String()
	}
	return fmt.Sprint(err)
}

// bounded keeps the beginning of what is written to it and takes the rest without growing.
type bounded struct {
	kept []byte
	more bool
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), maxOutput-len(b.kept))
	b.kept = append(b.kept, p[:n]...)
	b.more = b.more || n < len(p)
	return len(p), nil
}

func (b *bounded) text() string {
	s := strings.ToValidUTF8(strings.TrimSpace(string(b.kept)), "?")
	if b.more {
		s += "…"
	}
	if s == "" {
		return "no output"
	}
	return s
}
