// Package bench measures the real server over TLS with durable storage beside a bare
// HTTPS server in the same run, and prints ratios: the CPU that a request costs the
// server, throughput and latency at 1, 8 and 64 connections.
package bench

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/access/token"
	"chatelaine.dev/internal/app"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

const role = "CHATELAINE_BENCH_SERVER"

// TestMain makes the test binary a server when it starts itself as one.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(role) {
	case "product":
		err = serveProduct(os.Getenv(role + "_DATA"))
	case "floor":
		err = serveFloor()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// greeting is what a server says about itself on its first line.
type greeting struct {
	URL   string // of the product's first vault, or of the floor
	Token string
}

func serveProduct(data string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c := config.Default()
	c.Data, c.Listen, c.Status = data, "127.0.0.1:0", "off"
	a, err := app.Open(ctx, app.Config{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	g, err := furnish(ctx, a)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(g); err != nil {
		return err
	}
	if file := os.Getenv(role + "_PROFILE"); file != "" { // where each microsecond goes
		f, err := os.Create(filepath.Clean(file))
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer func() {
			pprof.StopCPUProfile()
			if m, err := os.Create(filepath.Clean(file + ".allocs")); err == nil {
				_ = pprof.Lookup("allocs").WriteTo(m, 0)
			}
		}()
	}
	return a.Run(ctx)
}

// furnish makes what the benchmarks use, and a token for it.
func furnish(ctx context.Context, a *app.App) (greeting, error) {
	value := secrets.Value(strings.Repeat("x", 64))
	if _, err := a.Secrets.Set(ctx, apptest.System, object.Ref{Vault: "default", Name: "bench"}, secrets.SetRequest{Value: value}); err != nil {
		return greeting{}, err
	}
	if _, err := a.Keys.Create(ctx, apptest.System, object.Ref{Vault: "default", Name: "bench"}, keys.CreateRequest{Type: "EC"}); err != nil {
		return greeting{}, err
	}
	who, err := a.Directory.CreateApplication(ctx, apptest.System, "bench")
	if err != nil {
		return greeting{}, err
	}
	if _, err := a.Directory.Assign(ctx, apptest.System, who.ID, "Key Vault Administrator", "/"); err != nil {
		return greeting{}, err
	}
	_, secret, err := a.Directory.AddCredential(ctx, apptest.System, who.ID, directory.NewCredential{Kind: directory.ClientSecret})
	if err != nil {
		return greeting{}, err
	}
	t, err := a.Tokens.ForClient(ctx, token.ClientCredentials{ClientID: who.ClientID, Secret: secret, Resource: a.URL(), Base: a.URL(), Form: token.ADFS})
	return greeting{URL: strings.Replace(a.URL(), "://", "://default.", 1), Token: t.Text.Reveal()}, err
}

// serveFloor is a bare HTTPS server: it answers 300 bytes at /, after an ECDSA signature at /sign.
func serveFloor() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	body := []byte(strings.Repeat("x", 300))
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(body)
	})
	mux.HandleFunc("/sign", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		digest := sha256.Sum256(body)
		if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = w.Write(body)
	})
	s := httptest.NewUnstartedServer(mux) // for its certificate, which is ECDSA or RSA: handshakes are not measured
	s.StartTLS()
	if err := json.NewEncoder(os.Stdout).Encode(greeting{URL: s.URL}); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	return nil
}

// server is a started server process.
type server struct {
	greeting
	pid int
}

func start(b *testing.B, kind string) server {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"="+kind, role+"_DATA="+filepath.Join(b.TempDir(), "data"))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	s := server{pid: cmd.Process.Pid}
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&s.greeting); err != nil {
		b.Fatal(err)
	}
	return s
}

// cpu is what the process has used, in seconds.
func (s server) cpu(b *testing.B) float64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		b.Skip("the CPU of another process is read from /proc, which this system lacks")
	}
	_, after, _ := strings.Cut(string(raw), ") ") // the name may hold spaces
	f := strings.Fields(after)
	var ticks float64
	for _, x := range f[11:13] { // utime and stime
		n, err := strconv.ParseFloat(x, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return ticks / 100 // USER_HZ
}

// memory is the resident set of the process, in MiB.
func (s server) memory(b *testing.B) float64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.pid))
	if err != nil {
		b.Skip("no /proc")
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// client is one connection to a server, whatever its host resolves to.
func client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return apptest.Loopback(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}, // both servers are ours
	}}
}
