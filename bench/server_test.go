// Package bench measures the real server over TLS with durable storage beside a bare
// HTTPS server in the same run, and prints ratios: the CPU that a request costs the
// server, throughput and latency at 1, 8 and 64 connections.
package bench

import (
	"bufio"
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chatelaine.dev/internal/access/directory"
	"chatelaine.dev/internal/access/token"
	"chatelaine.dev/internal/app"
	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/app/logging"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/vault/algorithm"
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
	case "bare":
		err = serveBare()
	case "fill":
		err = serveFill(os.Getenv(role+"_DATA"), os.Getenv(role+"_CERTIFICATES"))
	case "acme":
		err = serveACME(os.Getenv(role + "_DATA"))
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
	URL     string // of the product's first vault, or of the floor
	Token   string
	Wrapped string // base64url, for the product's RSA key
	Ready   time.Duration
	Link    string // one sign-in to the console
}

func serveProduct(data string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c := config.Default()
	c.Data, c.Listen, c.Status = data, "127.0.0.1:0", "127.0.0.1:0"
	debug.SetGCPercent(200) // as chatelaine serve does
	file, err := os.Create(filepath.Join(filepath.Dir(data), "server.log"))
	if err != nil {
		return err
	}
	log := logging.New(file)
	defer log.Close()
	begun := time.Now()
	a, err := app.Open(ctx, app.Config{Config: c, Log: log.Logger})
	if err != nil {
		return err
	}
	ready := time.Since(begun)
	if err := fill(ctx, a); err != nil {
		return err
	}
	g, err := furnish(ctx, a)
	if err != nil {
		return err
	}
	g.Ready, g.Link = ready, linkOf(ctx, a)
	if os.Getenv(role+"_RSA") != "" {
		if err := signByRSA(ctx, a); err != nil {
			return err
		}
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

// fill makes as many secrets in as many vaults as the environment says, once.
func fill(ctx context.Context, a *app.App) error {
	var vaults, secrets int
	if _, err := fmt.Sscanf(os.Getenv(role+"_FILL"), "%d×%d", &vaults, &secrets); err != nil {
		return nil // nothing to fill
	}
	for i := range vaults {
		name := fmt.Sprintf("v%05d", i)
		if _, err := a.Vaults.Create(ctx, apptest.System, name, object.Settings{}); err != nil {
			return err
		}
		v, err := a.Vaults.Deps.Vaults.Open(ctx, name)
		if err != nil {
			return err
		}
		for first := 0; first < secrets; first += 1000 {
			err := a.Vaults.Transact(ctx, func(ctx context.Context) error {
				for j := first; j < min(secrets, first+1000); j++ {
					x := object.Version{Enabled: true, Body: []byte(`{"value":"` + strings.Repeat("x", 64) + `"}`)}
					if _, err := v.Append(ctx, object.Secrets, fmt.Sprintf("s%06d", j), x, nil); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// furnish makes what the benchmarks use, and a token for it.
func furnish(ctx context.Context, a *app.App) (g greeting, err error) {
	value := secrets.Value(strings.Repeat("x", 64))
	if _, err := a.Secrets.Set(ctx, apptest.System, object.Ref{Vault: "default", Name: "bench"}, secrets.SetRequest{Value: value}); err != nil {
		return g, err
	}
	for name, kty := range map[string]string{"ec": "EC", "rsa": "RSA", "aes": "oct"} {
		if _, err := a.Keys.Create(ctx, apptest.System, object.Ref{Vault: "default", Name: name}, keys.CreateRequest{Type: kty}); err != nil {
			return g, err
		}
	}
	in := keys.Input{Algorithm: "RSA-OAEP-256", Input: algorithm.Input{Value: make([]byte, 32)}}
	wrapped, err := a.Keys.WrapKey(ctx, apptest.System, object.Ref{Vault: "default", Name: "rsa"}, in)
	if err != nil {
		return g, err
	}
	g.Wrapped = base64.RawURLEncoding.EncodeToString(wrapped.Value)
	who, err := a.Directory.CreateApplication(ctx, apptest.System, fmt.Sprint("bench", os.Getpid()))
	if err != nil {
		return g, err
	}
	for _, role := range []string{"Key Vault Administrator", "Administrator"} {
		if _, err := a.Directory.Assign(ctx, apptest.System, who.ID, role, "/"); err != nil {
			return g, err
		}
	}
	_, secret, err := a.Directory.AddCredential(ctx, apptest.System, who.ID, directory.NewCredential{Kind: directory.ClientSecret})
	if err != nil {
		return g, err
	}
	t, err := a.Tokens.ForClient(ctx, token.ClientCredentials{ClientID: who.ClientID, Secret: secret, Resource: a.URL(), Base: a.URL(), Form: token.ADFS})
	g.URL, g.Token = strings.Replace(a.URL(), "://", "://default.", 1), t.Text.Reveal()
	return g, err
}

// serveFloor is a bare HTTPS server: it answers 300 bytes at /, and elsewhere after one
// cryptographic operation. Nobody is asked for, and nothing is written down.
func serveFloor() error {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, make([]byte, 32), nil)
	if err != nil {
		return err
	}
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		return err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return err
	}
	body, digest := []byte(strings.Repeat("x", 300)), sha256.Sum256(nil)
	mux := http.NewServeMux()
	for path, work := range map[string]func() error{
		"/":      func() error { return nil },
		"/es256": func() error { _, err := ecdsa.SignASN1(rand.Reader, ec, digest[:]); return err },
		"/rs256": func() error { _, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:]); return err },
		"/oaep":  func() error { _, err := rsa.DecryptOAEP(sha256.New(), rand.Reader, key, wrapped, nil); return err },
		"/gcm":   func() error { gcm.Seal(nil, digest[:12], body[:64], nil); return nil },
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if err := work(); err != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
			_, _ = w.Write(body)
		})
	}
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
	pid  int
	stop func()
}

// start starts a server with its data in a folder. more are further variables.
func start(b *testing.B, kind, folder string, more ...string) server {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), role+"="+kind, role+"_DATA="+filepath.Join(folder, "data")), more...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	b.Cleanup(stop)
	s := server{pid: cmd.Process.Pid, stop: stop}
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

// settle waits until the server has done what follows its start: it fills its pool of RSA
// keys, which is no cost of the requests that happen to be measured then.
func (s server) settle(b *testing.B) {
	b.Helper()
	const pause, busy = 300 * time.Millisecond, 0.03 // a tenth of a core
	for before := s.cpu(b); ; {
		time.Sleep(pause)
		now := s.cpu(b)
		if now-before < busy {
			return
		}
		before = now
	}
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
