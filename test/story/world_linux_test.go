package story

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"
)

// enter runs this test program once more in a world of its own and returns its exit code:
// with names below localhost, which Go's resolver knows only from /etc/hosts; with every
// port free; and with every process ending when the test does, whatever it left behind.
// It reports false where namespaces cannot be made.
func enter(variables ...string) (code int, entered bool) {
	runtime.LockOSThread() // the kernel ends the child with the thread that made it
	hosts, err := os.CreateTemp("", "chatelaine-story-hosts")
	if err != nil {
		return 0, false
	}
	defer os.Remove(hosts.Name())
	fmt.Fprintln(hosts, "127.0.0.1 localhost default.localhost")
	if err := hosts.Close(); err != nil {
		return 0, false
	}
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Args[0] = os.Args[0]
	c.Env = append(append(os.Environ(), within+"="+hosts.Name()), variables...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
		c.SysProcAttr.AmbientCaps = []uintptr{capNetAdmin, capSysAdmin}
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupts)
	if err := c.Start(); err != nil {
		return 0, false
	}
	go func() {
		<-interrupts
		_ = c.Process.Kill()
	}()
	_ = c.Wait()
	if code = c.ProcessState.ExitCode(); code == cannotFurnish {
		return 0, false
	}
	if code < 0 {
		code = 1
	}
	return code, true
}

const (
	capNetAdmin   = 12
	capSysAdmin   = 21
	cannotFurnish = 99 // exit code of a world that could be made but not furnished
)

// furnish prepares the world: its own /etc/hosts, /proc and loopback.
func furnish() {
	hosts := os.Getenv(within)
	for _, err := range []error{
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount(hosts, "/etc/hosts", "", syscall.MS_BIND, ""),
		syscall.Mount("proc", "/proc", "proc", 0, ""),
		loopback(),
	} {
		if err != nil {
			fmt.Fprintln(os.Stderr, "a world of its own:", err)
			os.Exit(cannotFurnish)
		}
	}
}

// loopback switches the loopback interface on, which a new network has off.
func loopback() error {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = syscall.Close(socket) }()
	request := struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(request.name[:], "lo")
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(socket), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return os.NewSyscallError("ioctl SIOCSIFFLAGS", errno)
	}
	return nil
}
