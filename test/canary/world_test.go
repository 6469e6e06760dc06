package canary

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"chatelaine.dev/internal/app/apptest"
)

const tree = "../.."

// world is a started server, as an operator has it, and everything that was heard of it.
type world struct {
	wrapper sync.Once // the key that wraps others is made once
	t       *testing.T
	program string
	data    string
	env     map[string]string // of admin.env
	client  *http.Client
	process *exec.Cmd
	said    *os.File // what the server printed
	token   string

	mu     sync.Mutex
	secret map[string][]byte // the canaries, by what they are
	heard  bytes.Buffer      // every answer that is not meant to reveal anything
}

// build builds the program, and has go test see which folders the result depends on: it sees
// what a test opens, and not what the go command opens for it.
func build(t *testing.T) string {
	t.Helper()
	for _, folder := range []string{"cmd", "internal"} {
		if err := filepath.WalkDir(filepath.Join(tree, folder), func(string, fs.DirEntry, error) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(t.TempDir(), "chatelaine")
	c := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", program, "./cmd/chatelaine")
	c.Dir, c.Env = tree, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
	return program
}

// begin starts the server in a folder of its own.
func begin(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, program: build(t), data: filepath.Join(t.TempDir(), "data"), secret: map[string][]byte{}}
	var err error
	if w.said, err = os.Create(filepath.Join(t.TempDir(), "said")); err != nil {
		t.Fatal(err)
	}
	settings := filepath.Join(t.TempDir(), "config.yaml")
	w.write(settings, "webhooks: {allow: [127.0.0.1], plainHTTP: true}\nsmtp: {url: 'smtp://mail:"+w.plain("password of the mail server")+"@127.0.0.1:1', from: vault@example.com}\n")
	w.process = exec.Command(w.program, "serve", "--data", w.data, "--listen", "127.0.0.1:0", "--status", "127.0.0.1:0")
	w.process.Dir = t.TempDir() // where a core file would be
	w.process.Env = []string{"PATH=" + os.Getenv("PATH"), "CHATELAINE_CONFIG=" + settings, "GOTRACEBACK=all"}
	out, err := w.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.process.Stderr = w.said
	if err := w.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.process.Process.Kill(); _ = w.process.Wait() })
	ready := make(chan bool)
	go func() {
		var line [4096]byte
		for told := false; ; {
			n, err := out.Read(line[:])
			_, _ = w.said.Write(line[:n])
			if !told && (err != nil || bytes.Contains(line[:n], []byte("ready https://"))) {
				told = true
				ready <- err == nil
			}
			if err != nil {
				return
			}
		}
	}()
	if !<-ready {
		t.Fatalf("the server ended before it was ready: %s", w.read(w.said.Name()))
	}
	w.connect()
	return w
}

// connect reads admin.env, trusts the root and gets a token.
func (w *world) connect() {
	w.env = map[string]string{}
	for line := range strings.Lines(string(w.read(filepath.Join(w.data, "bootstrap", "admin.env")))) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		w.env[name] = value
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.read(w.env["SSL_CERT_FILE"]))
	w.client = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DialContext: apptest.Loopback,
			MaxIdleConnsPerHost: workers, ForceAttemptHTTP2: true,
		},
	}
	w.keep("the administrator's client secret", []byte(w.env["AZURE_CLIENT_SECRET"]))
	w.keep("the administrator's identity header", []byte(w.env["IDENTITY_HEADER"]))
	w.token = w.signIn("administrator", w.env["AZURE_CLIENT_ID"], w.env["AZURE_CLIENT_SECRET"])
}

// keep makes bytes a canary.
func (w *world) keep(what string, raw []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(raw) < shortest {
		panic(what + " is too short to be told from chance") // a mistake of this test
	}
	w.secret[what] = raw
}

// bird makes a canary: text that is nowhere else, with what has to be escaped in front.
func (w *world) bird(what string) string {
	text := "\"é\\<" + word()
	w.keep(what, []byte(text[len("\"é\\<"):]))
	return text
}

// plain makes a canary of letters and digits alone.
func (w *world) plain(what string) string { return w.bird(what)[len("\"é\\<"):] }

func (w *world) signIn(who, id, secret string) string {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}, "resource": {w.env["CHATELAINE_URL"]}}
	status, body := w.send(call{"POST", w.env["CHATELAINE_URL"] + "/adfs/oauth2/token", form.Encode(), map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Authorization": ""}, true})
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &got); err != nil || status != 200 {
		if who == "" {
			return ""
		}
		w.t.Errorf("token of %s: %d %s", who, status, body)
		return ""
	}
	signature := got.Token[strings.LastIndexByte(got.Token, '.')+1:] // what comes before says who it is for, and is no secret without it
	w.keep("token of "+who+" "+word(), []byte(signature))
	return got.Token
}

// call is a request. Its answer reveals a secret to whoever may see it, or must not.
type call struct {
	method, url, body string
	headers           map[string]string
	reveals           bool
}

// send sends a request and listens to the answer.
func (w *world) send(c call) (int, []byte) {
	r, err := http.NewRequestWithContext(context.WithoutCancel(w.t.Context()), c.method, c.url, strings.NewReader(c.body))
	if err != nil {
		panic(err) // a mistake of this test
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+w.token)
	for name, value := range c.headers {
		r.Header.Set(name, value)
	}
	res, err := w.client.Do(r)
	if err != nil {
		w.t.Errorf("%s %s: %v", c.method, r.URL.Path, err)
		return 0, nil
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Errorf("%s %s: %v", c.method, r.URL.Path, err)
	}
	if !c.reveals || res.StatusCode >= 400 {
		w.mu.Lock()
		defer w.mu.Unlock()
		fmt.Fprintf(&w.heard, "%s %s: %d\n", c.method, r.URL.Path, res.StatusCode)
		_ = res.Header.Write(&w.heard)
		w.heard.Write(body)
		w.heard.WriteByte('\n')
	}
	return res.StatusCode, body
}

// vault sends a request to a vault, and wants success.
func (w *world) vault(method, path, body string, reveals bool) []byte {
	base := w.env["CHATELAINE_VAULT_URL"]
	if rest, ok := strings.CutPrefix(path, "hsm:"); ok {
		base, path = w.env["CHATELAINE_HSM_URL"], rest
	}
	status, got := w.send(call{method: method, url: base + path + "?api-version=7.6", body: body, reveals: reveals})
	if status < 200 || status > 299 {
		w.t.Errorf("%s %s: %d %s", method, path, status, got)
	}
	return got
}

// api sends a request to our own API, and wants success.
func (w *world) api(method, path, body string, reveals bool) []byte {
	status, got := w.send(call{method: method, url: w.env["CHATELAINE_URL"] + "/api/v1" + path, body: body, reveals: reveals})
	if status < 200 || status > 299 {
		w.t.Errorf("%s %s: %d %s", method, path, status, got)
	}
	return got
}

// cli types a verb and listens to what it prints.
func (w *world) cli(args ...string) {
	c := exec.CommandContext(w.t.Context(), w.program, args...)
	c.Env = []string{"PATH=" + os.Getenv("PATH")}
	for name, value := range w.env {
		c.Env = append(c.Env, name+"="+value)
	}
	out, err := c.CombinedOutput()
	if err != nil {
		w.t.Errorf("chatelaine %v: %v\n%s", args, err, out)
	}
	fmt.Fprintf(&w.heard, "chatelaine %v:\n%s", args, out)
}

// flock are all canaries of this run.
func (w *world) flock() *flock {
	f := newFlock()
	for what, raw := range maps.All(w.secret) {
		f.add(what, raw)
	}
	return f
}

// files are what the data folder holds, but for what is there to be read by the
// administrator: bootstrap.
func (w *world) files() map[string][]byte {
	all := map[string][]byte{}
	err := filepath.WalkDir(w.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "bootstrap") {
			return err
		}
		b, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, w.data+"/")] = b
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func (w *world) read(name string) []byte {
	b, err := os.ReadFile(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) write(name, content string) {
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}
