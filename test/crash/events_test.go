package crash

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/app"
	"chatelaine.dev/internal/config"
	"chatelaine.dev/internal/event/subscription"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// openWithHooks starts the product where webhooks may reach the receiver of the test.
func openWithHooks(ctx context.Context, data, database string, now func() time.Time) (*app.App, error) {
	c := config.Default()
	c.Data, c.Database, c.Listen, c.Status = data, database, "127.0.0.1:0", "off"
	c.Webhooks = config.Webhooks{Allow: []string{"127.0.0.1"}, PlainHTTP: true}
	return app.Open(ctx, app.Config{Config: c, Log: slog.New(slog.DiscardHandler), Now: now})
}

// writeEvents subscribes the endpoint, and sets secrets until it is killed; it says the
// version of each that was acknowledged.
func writeEvents(data, database, endpoint string) error {
	ctx := context.Background()
	a, err := openWithHooks(ctx, data, database, nil)
	if err != nil {
		return err
	}
	c := access.System("writer")
	_, err = a.Subscriptions.Create(ctx, c, subscription.Draft{
		Name: "receiver", Endpoint: access.NewSecret(endpoint),
		Filter: subscription.Filter{Source: "/vaults/default", Types: []string{"Microsoft.KeyVault.SecretNewVersionCreated"}},
	})
	if err != nil && !fault.HasCode(err, "NameTaken") {
		return err
	}
	fmt.Println("ready")
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			for {
				e, err := a.Secrets.Set(ctx, c, ref(fmt.Sprintf("e%d", mrand.IntN(20))), secrets.SetRequest{Value: "v"})
				if err != nil {
					return err
				}
				fmt.Println(e.Version.ID)
			}
		})
	}
	return g.Wait()
}

// tally is a receiver that now and then refuses an event the first time.
type tally struct {
	mu      sync.Mutex
	got     map[string]string // name by version
	refused map[string]bool
	more    chan struct{}
}

func (x *tally) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		w.Header().Set("WebHook-Allowed-Origin", "*")
		return
	}
	var e struct {
		Data struct{ ObjectName, Version string }
	}
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	x.mu.Lock()
	refuse := !x.refused[e.Data.Version] && mrand.IntN(10) == 0
	if x.refused[e.Data.Version] = refuse; !refuse {
		x.got[e.Data.Version] = e.Data.ObjectName
	}
	x.mu.Unlock()
	if refuse {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	select {
	case x.more <- struct{}{}:
	default:
	}
}

// missing are those of the versions that did not arrive yet.
func (x *tally) missing(want map[string]bool) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for v := range want {
		if x.got[v] == "" {
			n++
		}
	}
	return n
}

func TestEveryAcknowledgedEventArrivesAndNoOther(t *testing.T) {
	for engine, rounds := range map[string]int{"sqlite": 30, "postgresql": 10} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			data, database := t.TempDir(), ""
			if engine == "postgresql" {
				database = storagetest.Postgres(t)
			}
			x := &tally{got: map[string]string{}, refused: map[string]bool{}, more: make(chan struct{}, 1)}
			hook := httptest.NewServer(x)
			defer hook.Close()
			acknowledged := map[string]bool{}
			for range rounds {
				for _, version := range killWriter(t, data, database, hook.URL) {
					acknowledged[version] = true
				}
			}
			before := x.missing(acknowledged)
			t.Logf("%d kills, %d events acknowledged, %d of them not delivered before the last start", rounds, len(acknowledged), before)
			if len(acknowledged) < rounds {
				t.Fatal("the writer hardly wrote")
			}

			// What a dead process held on PostgreSQL is free after its lease, so the clock is ahead.
			a, err := openWithHooks(t.Context(), data, database, func() time.Time { return time.Now().Add(10 * time.Minute) })
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			}()
			patience := time.After(2 * time.Minute)
			for x.missing(acknowledged) > 0 {
				select {
				case <-x.more:
				case <-patience:
					t.Fatalf("%d of %d acknowledged events did not arrive", x.missing(acknowledged), len(acknowledged))
				}
			}
			x.mu.Lock()
			defer x.mu.Unlock()
			for version, name := range x.got {
				if _, _, err := a.Secrets.Get(t.Context(), access.System("inspector"), object.Ref{Vault: "default", Name: name, Version: version}); err != nil {
					t.Errorf("an event arrived of what is not there: %s %s: %v", name, version, err)
				}
			}
		})
	}
}

// killWriter is kill for the writer of events.
func killWriter(t *testing.T, data, database, endpoint string) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childOf+"="+data, childOf+"BASE="+database, childOf+"HOOK="+endpoint)
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
	timer := time.AfterFunc(time.Duration(mrand.IntN(150))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if diagnostics.Len() > 0 {
		t.Fatal(diagnostics.String())
	}
	said := strings.Split(string(rest), "\n")
	return said[:len(said)-1]
}
