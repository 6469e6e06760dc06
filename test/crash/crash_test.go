// Package crash kills the server, without warning, in the middle of mixed writes, many
// times, and looks at what is on the disk after each.
package crash

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/certificates/policy"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

const (
	kills   = 300 // over both engines
	childOf = "CHATELAINE_CRASH_DATA"
)

// TestMain runs the writer when the test starts itself as the process to be killed.
func TestMain(m *testing.M) {
	if data := os.Getenv(childOf); data != "" {
		work := func() error { return write(data, os.Getenv(childOf+"BASE")) }
		if hook := os.Getenv(childOf + "HOOK"); hook != "" {
			work = func() error { return writeEvents(data, os.Getenv(childOf+"BASE"), hook) }
		}
		if err := work(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func open(ctx context.Context, data, database string) (*app.App, error) {
	c := config.Default()
	c.Data, c.Database, c.Listen, c.Status = data, database, "127.0.0.1:0", "off"
	return app.Open(ctx, app.Config{Config: c, Log: slog.New(slog.DiscardHandler)})
}

// write changes things until it is killed, and says of each change that was
// acknowledged what it was.
func write(data, database string) error {
	ctx := context.Background()
	a, err := open(ctx, data, database)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	c := access.System("writer")
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			for {
				said, err := change(ctx, a, c)
				if err != nil {
					return err
				}
				fmt.Println(said) // one write, so one line, also when killed
			}
		})
	}
	return g.Wait()
}

func ref(name string) object.Ref { return object.Ref{Vault: "default", Name: name} }

// change makes one change of a random kind and describes it.
func change(ctx context.Context, a *app.App, c access.Caller) (string, error) {
	name := fmt.Sprintf("n%d", mrand.IntN(40))
	switch mrand.IntN(6) {
	case 0, 1:
		value := rand.Text()
		e, err := a.Secrets.Set(ctx, c, ref("s"+name), secrets.SetRequest{Value: secrets.Value(value)})
		return "secret " + "s" + name + " " + e.Version.ID + " " + value, err
	case 2:
		e, err := a.Keys.Create(ctx, c, ref("k"+name), keys.CreateRequest{Type: "EC"})
		return "key k" + name + " " + e.Version.ID, err
	case 3:
		name = "c" + strings.ToLower(rand.Text())
		_, err := a.Certificates.Create(ctx, c, ref(name), certificates.CreateRequest{Policy: selfSigned(name)})
		return "certificate " + name, err
	default:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return "", err
		}
		made, err := a.Issuance.Issue(ctx, c, issuance.Request{Profile: "tls-server", PublicKey: &key.PublicKey, Names: profile.Names{DNS: []string{name + ".example.com"}}})
		if err != nil || mrand.IntN(2) == 0 {
			return "issued " + made.Serial, err
		}
		_, err = a.Revocation.Revoke(ctx, c, revocation.Request{SHA256: made.SHA256, Reason: "superseded"})
		return "revoked " + made.Serial, err
	}
}

func selfSigned(name string) *policy.Policy {
	return &policy.Policy{
		Key:    &policy.KeyProperties{Type: "EC", Curve: "P-256"},
		X509:   &policy.X509Properties{Subject: "CN=" + name},
		Issuer: &policy.Issuer{Name: "Self"},
	}
}

func TestNothingAcknowledgedIsLost(t *testing.T) {
	for engine, share := range map[string]int{"sqlite": kills * 3 / 4, "postgresql": kills / 4} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			data, database := t.TempDir(), ""
			if engine == "postgresql" {
				database = storagetest.Postgres(t)
			}
			acknowledged := map[string]bool{}
			for range share {
				for _, line := range kill(t, data, database) {
					acknowledged[line] = true
				}
			}
			t.Logf("%d kills, %d changes acknowledged", share, len(acknowledged))
			if len(acknowledged) < share {
				t.Errorf("only %d changes were acknowledged: the writer hardly wrote", len(acknowledged))
			}
			inspect(t, data, database, acknowledged)
		})
	}
}

// kill runs the writer, kills it in the middle of its work, and returns what it said.
func kill(t *testing.T, data, database string) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childOf+"="+data, childOf+"BASE="+database)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var diagnostics strings.Builder
	cmd.Stderr = &diagnostics
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if first, err := lines.ReadString('\n'); err != nil || first != "ready\n" {
		_ = cmd.Wait()
		t.Fatalf("the server does not start again: %q %v %s", first, err, diagnostics.String())
	}
	first := ""
	if mrand.IntN(4) > 0 { // most die while they write, some while they begin to
		if first, err = lines.ReadString('\n'); err != nil {
			_ = cmd.Wait()
			t.Fatalf("the server changes nothing: %v %s", err, diagnostics.String())
		}
	}
	timer := time.AfterFunc(time.Duration(mrand.IntN(120))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if diagnostics.Len() > 0 {
		t.Fatal(diagnostics.String())
	}
	said := strings.Split(first+string(rest), "\n")
	return said[:len(said)-1] // the last is empty, or was cut off
}

// inspect holds the disk against what was acknowledged, and every row against the trail.
func inspect(t *testing.T, data, database string, acknowledged map[string]bool) {
	t.Helper()
	ctx := t.Context()
	a, err := open(ctx, data, database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := access.System("inspector")
	recorded := trail(t, a, c)
	for line := range acknowledged {
		f := strings.Fields(line)
		var err error
		switch f[0] {
		case "secret":
			var b secrets.Body
			if _, b, err = a.Secrets.Get(ctx, c, object.Ref{Vault: "default", Name: f[1], Version: f[2]}); err == nil && string(b.Value) != f[3] {
				t.Errorf("%s: has another value", f[1])
			}
		case "key":
			_, err = a.Keys.Get(ctx, c, object.Ref{Vault: "default", Name: f[1], Version: f[2]})
		case "certificate":
			_, err = a.Certificates.Get(ctx, c, ref(f[1]))
		case "issued", "revoked":
			var made issuance.Certificate
			if made, err = a.Issuance.Get(ctx, c, "issuing", f[1]); err == nil && f[0] == "revoked" && made.State != issuance.Revoked {
				t.Errorf("serial %s is %s, but its revocation was acknowledged", f[1], made.State)
			}
		}
		if err != nil {
			t.Errorf("acknowledged and lost: %s: %v", line, err)
		}
	}
	if err := a.Vaults.Verify(ctx, c, nil); err != nil {
		t.Errorf("vaults: %v", err)
	}
	everyRowHasItsRecord(t, a, c, recorded)
}

// trail verifies the audit trail and returns which versions and serials it speaks of.
func trail(t *testing.T, a *app.App, c access.Caller) map[string]bool {
	t.Helper()
	if report, err := a.Audit().Verify(t.Context(), c); err != nil || report.Problem != "" {
		t.Fatalf("audit trail: %s %v", report.Problem, err)
	}
	recorded := map[string]bool{}
	for q := (audit.Query{Limit: 1000}); ; {
		records, err := a.Audit().List(t.Context(), c, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Outcome == audit.Success {
				recorded[r.Details[audit.Version]] = true
				recorded[r.Details[audit.Serial]] = true
			}
		}
		if len(records) < q.Limit {
			return recorded
		}
		q.Before = records[len(records)-1].Sequence
	}
}

func everyRowHasItsRecord(t *testing.T, a *app.App, c access.Caller, recorded map[string]bool) {
	t.Helper()
	ctx := t.Context()
	v, err := a.Vaults.Get(ctx, c, "default")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, k := range []object.Kind{object.Keys, object.Secrets, object.Certificates} {
		for after := ""; ; {
			entries, err := v.List(ctx, k, false, after, 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				versions, _, err := v.Versions(ctx, k, e.Head.Name, 0, 10_000)
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range versions {
					if rows++; !recorded[x.ID] {
						t.Errorf("%s %s version %s has no record", k, e.Head.Name, x.ID)
					}
				}
				if k == object.Certificates && len(versions) > 0 {
					whole(t, v, e)
				}
			}
			if len(entries) < 100 {
				break
			}
			after = entries[len(entries)-1].Head.Name
		}
	}
	for after := ""; ; {
		list, next, err := a.Issuance.List(ctx, c, issuance.Filter{}, after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			if rows++; x.State != issuance.Intended && !recorded[x.Serial] {
				t.Errorf("serial %s (%s) has no record", x.Serial, x.State)
			}
		}
		if after = next; next == "" {
			break
		}
	}
	t.Logf("%d rows, each with its record", rows)
}

// whole checks that a certificate's key and secret are there too.
func whole(t *testing.T, v *object.Vault, e object.Entry) {
	t.Helper()
	for _, k := range []object.Kind{object.Keys, object.Secrets} {
		if _, err := v.Read(t.Context(), k, e.Head.Name, e.Version.ID); err != nil {
			t.Errorf("certificate %s is half there: %v", e.Head.Name, err)
		}
	}
}
