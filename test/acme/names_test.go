package acme

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// names is a running pebble-challtestsrv.
type names struct {
	resolver string // host and port of its DNS server
	control  string // URL of where it is told what to answer
}

// startNames starts one for the length of a test. It cannot choose free ports itself, so
// where another was faster to take one it is started again.
func startNames(t testing.TB) names {
	t.Helper()
	program, err := filepath.Abs("../../bin/pebble-challtestsrv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("bin/pebble-challtestsrv is missing; scripts/install-test-deps builds it")
		}
		t.Skip("bin/pebble-challtestsrv is missing; scripts/install-test-deps builds it")
	}
	for range 5 {
		n := names{resolver: free(t), control: "http://" + free(t)}
		c := exec.CommandContext(t.Context(), program, "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-defaultIPv6", "",
			"-dnsserver", n.resolver, "-management", n.control[len("http://"):])
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = c.Wait() // killed, or it could not listen
		}()
		if n.ready(t.Context(), ended) {
			t.Cleanup(func() {
				_ = c.Process.Kill()
				<-ended
			})
			return n
		}
	}
	t.Fatal("pebble-challtestsrv does not start")
	return names{}
}

// free is an address of loopback that nobody listens at, by TCP and UDP.
func free(t testing.TB) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// ready waits until it answers questions, or has ended.
func (n names) ready(ctx context.Context, ended <-chan struct{}) bool {
	for range 200 {
		select {
		case <-ended:
			return false
		case <-time.After(25 * time.Millisecond):
		}
		r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, n.resolver)
		}}
		if _, err := r.LookupHost(ctx, "ready.example.com"); err == nil && n.show(ctx, "ready.example.com.", "yes") == nil {
			return true
		}
	}
	return false
}

// show has it answer with a TXT record.
func (n names) show(ctx context.Context, host, value string) error {
	body, err := json.Marshal(map[string]string{"host": host, "value": value})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.control+"/set-txt", bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("set-txt: %s", res.Status)
	}
	return nil
}

// hook is a script for programs that have others publish their TXT records; host and value
// are what the shell finds them in.
func (n names) hook(t testing.TB, host, value string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hook")
	script := fmt.Sprintf("#!/bin/sh\nexec curl -sf -d \"{\\\"host\\\":\\\"%s\\\",\\\"value\\\":\\\"%s\\\"}\" %s/set-txt\n", host, value, n.control)
	if err := os.WriteFile(file, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}
