package storagetest

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Postgres returns the URL of a fresh, empty PostgreSQL database that is dropped when
// the test ends. The server is the one that CHATELAINE_TEST_POSTGRES names (a URL whose
// user may create databases), else one started for this test binary from the
// machine's own package. Where there is neither, the test is skipped; with CI=true it fails.
func Postgres(t testing.TB) string {
	t.Helper()

	server, err := postgresServer()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("this test needs PostgreSQL: %v", err)
		}
		t.Skipf("needs PostgreSQL: %v", err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	if err := administer(t.Context(), server, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now. FORCE ends connections that the test forgot.
		if err := administer(context.Background(), server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	u := *server
	u.Path = "/" + name
	return u.String()
}

// administer runs one statement in the server's database "postgres".
func administer(ctx context.Context, server *url.URL, statement string) error {
	conn, err := pgx.Connect(ctx, server.String())
	if err != nil {
		return fmt.Errorf("connect to the test server: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// postgresServer is the server that all tests of this process share, started by the first that asks.
var postgresServer = sync.OnceValues(func() (*url.URL, error) {
	if given := os.Getenv("CHATELAINE_TEST_POSTGRES"); given != "" {
		u, err := url.Parse(given)
		if err != nil {
			return nil, fmt.Errorf("CHATELAINE_TEST_POSTGRES is no URL: %w", err)
		}
		return u, nil
	}
	return startPostgres()
})

// runCluster makes a cluster in $dir, runs it until standard input closes, and removes
// it. Its input is a pipe that only the test binary holds, so the server ends with the
// tests however they end, kill -9 included. A socket needs no free port. Durability
// is off: a cluster that lives for seconds does not survive a power cut anyway.
const runCluster = `
trap '' INT HUP PIPE
trap '"$bin/pg_ctl" -D "$dir/data" -m immediate -s stop; rm -rf "$dir"' EXIT
cd "$dir" || exit
"$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >initdb.log 2>&1 || { tail -n 5 initdb.log; exit 1; }
"$bin/pg_ctl" -D data -l server.log -w -s -o "-k '$dir' -c listen_addresses= -c max_connections=200
  -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c jit=off" start >start.log 2>&1 || { tail -n 5 start.log server.log; exit 1; }
echo ready
cat >/dev/null`

func startPostgres() (*url.URL, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "chatelaine-pg-")
	if err != nil {
		return nil, err
	}
	command := []string{"sh", "-c", runCluster}
	if os.Getuid() == 0 { // initdb refuses root
		command = append([]string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"}, command...)
		if out, err := exec.CommandContext(context.Background(), "chown", "postgres", dir).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("give %s to the user postgres: %w: %s", dir, err, out)
		}
	}
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...) // for the whole process, not for one test
	cmd.Env = append(os.Environ(), "bin="+bin, "dir="+dir)
	if _, err := cmd.StdinPipe(); err != nil { // held open until this process ends
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "ready" {
			go func() { _ = cmd.Wait() }() // keeps the pipe reachable: collected, it would be closed
			return &url.URL{
				Scheme: "postgres", Host: "localhost", Path: "/postgres",
				RawQuery: url.Values{"host": {dir}, "user": {"postgres"}, "sslmode": {"disable"}}.Encode(),
			}, nil
		}
		fmt.Fprintln(&said, lines.Text())
	}
	return nil, fmt.Errorf("start PostgreSQL: %w: %s", cmd.Wait(), said.String())
}

// postgresPrograms returns the folder of the newest PostgreSQL server on this machine.
// Debian keeps it out of PATH.
func postgresPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil // sorted, and every version since 10 has two digits
	}
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("no initdb on this machine: install Debian's package postgresql, or set CHATELAINE_TEST_POSTGRES to the URL of a server whose user may create databases")
	}
	return filepath.Dir(initdb), nil
}
