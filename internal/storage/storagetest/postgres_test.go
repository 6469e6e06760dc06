package storagetest

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestPostgresGivesEachTestAnEmptyDatabaseOfItsOwn(t *testing.T) {
	first, second := Postgres(t), Postgres(t)

	for _, address := range []string{first, second} {
		conn, err := pgx.Connect(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(), "CREATE TABLE taken (id TEXT)"); err != nil {
			t.Errorf("%s is not empty: %v", address, err)
		}
	}
}

func TestPostgresDropsTheDatabaseWhenItsTestEnds(t *testing.T) {
	var address string

	t.Run("user", func(t *testing.T) { address = Postgres(t) })

	if conn, err := pgx.Connect(t.Context(), address); err == nil {
		conn.Close(t.Context())
		t.Errorf("%s is still there", address)
	}
}

// The child is this test binary: it starts a server, prints its address and is killed.
func TestPostgresServerEndsWithTheTestsEvenByKill(t *testing.T) {
	if os.Getenv("CHATELAINE_TEST_POSTGRES") != "" {
		t.Skip("needs a server of its own: unset CHATELAINE_TEST_POSTGRES")
	}
	if os.Getenv("STORAGETEST_CHILD") != "" {
		os.Stdout.WriteString(Postgres(t) + "\n")
		select {}
	}
	Postgres(t) // skips where there is none
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), "STORAGETEST_CHILD=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), strings.TrimSpace(address))
	if err != nil {
		t.Fatal(err)
	}

	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}

	// The server is told to stop at once, so a question that would take an hour ends with the connection.
	if _, err := conn.Exec(t.Context(), "SELECT pg_sleep(3600)"); err == nil {
		t.Error("the server outlived its test binary")
	}
	child.Wait() // its error is the kill
}
