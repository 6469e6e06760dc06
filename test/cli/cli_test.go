// Package cli types what an operator types: the built program against a running product,
// one story a script.
package cli

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // tamper opens the server's database

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/config"
)

const tree = "../.."

// TestMain builds the program once, and puts it first in the path.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	bin, err := os.MkdirTemp("", "chatelaine-cli")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "./cmd/chatelaine")
	build.Dir, build.Env = tree, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %v\n%s", build.Args, err, out)
		return 1
	}
	os.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return m.Run()
}

func TestVerbs(t *testing.T) {
	// go test sees what a test opens, not what the go command opened for it: without this it
	// would not notice that the program has changed.
	for _, folder := range []string{"cmd", "internal"} {
		if err := filepath.WalkDir(filepath.Join(tree, folder), func(string, fs.DirEntry, error) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata", Setup: setup, RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"keep": keep, "evaluate": evaluate, "csr": csr, "interrupt": interrupt, "tamper": tamper, "arrived": arrived, "secret": secret, "key": key, "same": same, "as": as, "become": become, "door": door,
		},
	})
}

// setup starts a product, and a TLS service with a certificate that nobody should have.
func setup(e *testscript.Env) error {
	t := e.T().(testing.TB)
	shop := startShop(t, filepath.Join(e.WorkDir, "shop"))
	p := apptest.Start(t, func(c *config.Config) { c.Webhooks = config.Webhooks{Allow: []string{"127.0.0.1"}, PlainHTTP: true} })
	admin, err := os.ReadFile(filepath.Join(p.Data, "bootstrap", "admin.env"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(admin)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		e.Setenv(name, value)
	}
	e.Values[product{}] = p
	e.Setenv("DATA", p.Data)
	e.Setenv("PORT", p.Port)
	h, address := startHook(t, e.WorkDir)
	e.Values[hookKey{}] = h
	e.Setenv("HOOK", address)
	e.Setenv("SHOP", shop.address)
	e.Setenv("SHOP_FOLDER", shop.folder)
	return nil
}

// tamper changes a row of the database behind the server's back.
func tamper(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(ts.Getenv("DATA"), "chatelaine.db")+"?_pragma=busy_timeout(10000)") // the server writes too
	ts.Check(err)
	defer db.Close()
	done, err := db.Exec(args[0])
	ts.Check(err)
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		ts.Fatalf("%d rows changed: %v", n, err)
	}
}

// keep gives a variable what the group of a pattern matches in the last output.
func keep(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("nothing matches %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

// evaluate sets the variables that the last output exports, as a shell's eval does.
func evaluate(ts *testscript.TestScript, _ bool, _ []string) {
	for _, m := range regexp.MustCompile(`(?m)^export (\w+)='(.*)'$`).FindAllStringSubmatch(ts.ReadFile("stdout"), -1) {
		ts.Setenv(m[1], m[2])
	}
}

// csr writes a certificate signing request for a name to a file.
func csr(ts *testscript.TestScript, _ bool, args []string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: args[:1]}, private)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), 0o600))
}

// interrupt runs the program until it has said something on its standard error, interrupts
// it, and wants it to end as interrupted programs do, with more words.
func interrupt(ts *testscript.TestScript, _ bool, args []string) {
	c := exec.Command("chatelaine", args[2:]...)
	c.Env, c.Dir = []string{"PATH=" + ts.Getenv("PATH")}, ts.MkAbs(".")
	for _, name := range []string{"CHATELAINE_URL", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "SSL_CERT_FILE"} {
		c.Env = append(c.Env, name+"="+ts.Getenv(name))
	}
	said, err := c.StderrPipe()
	ts.Check(err)
	ts.Check(c.Start())
	lines, before := bufio.NewReader(said), bytes.Buffer{}
	for !strings.Contains(before.String(), args[0]) {
		line, err := lines.ReadString('\n')
		before.WriteString(line)
		if err != nil {
			ts.Fatalf("it never said %q: %s", args[0], before.String())
		}
	}
	ts.Check(c.Process.Signal(syscall.SIGINT))
	after, err := io.ReadAll(lines)
	ts.Check(err)
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 130 || !strings.Contains(string(after), args[1]) {
		ts.Fatalf("after the interrupt: exit code %d, said %s", code, after)
	}
}
