package lifecycledb

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"
	"uuid"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/connection"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/keystore"
	"chatelaine.dev/internal/vault/seal"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var noon = time.Date(2026, 9, 1, 12, 0, 0, 123_456_000, time.UTC)

// each runs f with a store on each engine.
func each(t *testing.T, f func(t *testing.T, db *storage.DB, s *Store)) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) { f(t, db, New(db, newBox(t))) })
}

func newBox(t *testing.T) *seal.Box {
	key := make([]byte, seal.KeySize)
	_, _ = rand.Read(key)
	box, err := seal.NewBox(key)
	must(t, err)
	return box
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err error, code string) {
	t.Helper()
	if !fault.HasCode(err, code) {
		t.Errorf("got %v, want the code %s", err, code)
	}
}

func aConnection(name string) connection.Stored {
	return connection.Stored{
		ID: uuid.NewV4().String(), Name: name, Connector: "files", Settings: connector.Settings(`{"password":"canary-9d2e"}`),
		Created: noon, Updated: noon, Problem: "canary-9d2e", Revision: 1,
	}
}

func aLineage(name string) lineage.Lineage {
	return lineage.Lineage{
		ID: uuid.NewV4().String(), Revision: 1, Created: noon, Updated: noon, Due: noon.Add(time.Hour),
		Wanted: lineage.Wanted{
			Name: name, Owner: "shop", Profile: "tls-server", Names: profile.Names{DNS: []string{"canary-9d2e.example"}}, Key: "P-256",
			Validity: profile.Duration(time.Hour), Keep: lineage.Keep{Vault: "default", Name: strings.ReplaceAll(name, " ", "-")}, Rule: lineage.Rule{Percent: 50},
		},
		Targets: []lineage.Target{},
	}
}

func aRequest(lineageID string) enrollment.Entry {
	id := uuid.NewV7().String()
	return enrollment.Entry{
		Request: enrollment.Request{
			ID: id, Kind: enrollment.Renew, Lineage: lineageID, State: enrollment.Approved, Step: enrollment.MakeKey, Requester: "p",
			Decisions: []enrollment.Decision{{Principal: "q", Approved: true, At: noon}}, Created: noon, Updated: noon, Wake: noon.Add(time.Hour), Revision: 1,
		},
		Material: enrollment.Material{Key: keystore.Material("canary-9d2e"), CSR: []byte{1}, Chain: [][]byte{{2}, {3}}},
		Once:     id,
	}
}

func aDeployment(request, lineageID, target string) deployment.Deployment {
	return deployment.Deployment{
		ID: uuid.NewV7().String(), Request: request, Lineage: lineageID, State: deployment.Running, Stage: deployment.Prepare,
		Target:  lineage.Target{ID: target, Connection: "c", Place: map[string]any{"key": "/etc/canary-9d2e"}, Endpoints: []lineage.Endpoint{{Host: "h", Port: 443}}},
		Created: noon, Updated: noon, Wake: noon.Add(time.Hour), Revision: 1,
	}
}

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	each(t, func(t *testing.T, _ *storage.DB, s *Store) {
		ctx := t.Context()
		c, l := aConnection("Edge"), aLineage("Shop")
		l.Targets = []lineage.Target{{ID: "t", Connection: c.ID, Place: map[string]any{"a": "b"}, Endpoints: []lineage.Endpoint{{IP: "192.0.2.1", Port: 443, SNI: "s"}}}}
		e := aRequest(l.ID)
		d := aDeployment(e.ID, l.ID, "t")
		must(t, s.InsertConnection(ctx, c))
		must(t, s.InsertLineage(ctx, l))
		must(t, s.InsertRequest(ctx, e))
		must(t, s.InsertDeployment(ctx, d))

		gotC, err := s.Connection(ctx, c.ID)
		must(t, err)
		gotL, err := s.Lineage(ctx, l.ID)
		must(t, err)
		gotE, err := s.Request(ctx, e.ID)
		must(t, err)
		gotD, err := s.Deployment(ctx, d.ID)
		must(t, err)
		for _, diff := range []string{cmp.Diff(c, gotC), cmp.Diff(l, gotL), cmp.Diff(e, gotE), cmp.Diff(d, gotD)} {
			if diff != "" {
				t.Error(diff)
			}
		}
	})
}

func TestNothingThatIsSealedLiesOpen(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB, s *Store) {
		ctx := t.Context()
		e := aRequest("l")
		must(t, s.InsertConnection(ctx, aConnection("Edge")))
		must(t, s.InsertLineage(ctx, aLineage("Shop")))
		must(t, s.InsertRequest(ctx, e))
		must(t, s.InsertDeployment(ctx, aDeployment(e.ID, "l", "t")))

		for _, table := range []string{"connections", "lineages", "requests", "deployments"} {
			var sealed []byte
			must(t, db.QueryRow(ctx, `SELECT sealed FROM lifecycle_`+table).Scan(&sealed))
			if bytes.Contains(sealed, []byte("canary")) || len(sealed) < 100 {
				t.Errorf("%s lie open", table)
			}
		}
	})
}

func TestAlteredEntriesDoNotOpen(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB, s *Store) {
		ctx := t.Context()
		for name, statement := range map[string]string{
			"older revision": `UPDATE lifecycle_requests SET revision = 2 WHERE id = $1`,
			"other content":  `UPDATE lifecycle_requests SET sealed = (SELECT sealed FROM lifecycle_requests WHERE id <> $1 AND sealed IS NOT NULL LIMIT 1) WHERE id = $1`,
		} {
			e, other := aRequest(name), aRequest(name+" other")
			must(t, s.InsertRequest(ctx, e))
			must(t, s.InsertRequest(ctx, other))

			_, err := db.Exec(ctx, statement, e.ID)
			must(t, err)

			if _, err := s.Request(ctx, e.ID); err == nil {
				t.Errorf("%s: opened", name)
			}
		}
	})
}

func TestOnlyTheNextRevisionIsTaken(t *testing.T) {
	each(t, func(t *testing.T, _ *storage.DB, s *Store) {
		ctx := t.Context()
		c, l, e := aConnection("Edge"), aLineage("Shop"), aRequest("l")
		d := aDeployment("r", "l", "t")
		must(t, s.InsertConnection(ctx, c))
		must(t, s.InsertLineage(ctx, l))
		must(t, s.InsertRequest(ctx, e))
		must(t, s.InsertDeployment(ctx, d))
		c.Revision, l.Revision, e.Revision, d.Revision = 2, 2, 2, 2
		update := func() []error {
			return []error{s.UpdateConnection(ctx, c), s.UpdateLineage(ctx, l), s.UpdateRequest(ctx, e), s.UpdateDeployment(ctx, d)}
		}
		for _, err := range update() {
			must(t, err)
		}

		for _, err := range update() {
			refused(t, err, "Changed")
		}
		refused(t, s.DeleteLineage(ctx, l.ID, 1), "Changed")
	})
}

func TestNamesAreUniqueInAnyCase(t *testing.T) {
	each(t, func(t *testing.T, _ *storage.DB, s *Store) {
		ctx := t.Context()
		c, l := aConnection("Other"), aLineage("Other")
		must(t, s.InsertConnection(ctx, aConnection("Edge")))
		must(t, s.InsertLineage(ctx, aLineage("Shop")))
		must(t, s.InsertConnection(ctx, c))
		must(t, s.InsertLineage(ctx, l))

		refused(t, s.InsertConnection(ctx, aConnection("eDGE")), "NameTaken")
		shop := aLineage("sHOP")
		refused(t, s.InsertLineage(ctx, shop), "KeepTaken")
		shop.Keep.Name = "free"
		refused(t, s.InsertLineage(ctx, shop), "NameTaken")
		c.Name, c.Revision, l.Name, l.Revision = "EDGE", 2, "SHOP", 2
		refused(t, s.UpdateConnection(ctx, c), "NameTaken")
		refused(t, s.UpdateLineage(ctx, l), "NameTaken")
		l.Name, l.Keep.Name = "free", "shop"
		refused(t, s.UpdateLineage(ctx, l), "KeepTaken")
	})
}

func TestConnectionInUseStays(t *testing.T) {
	each(t, func(t *testing.T, _ *storage.DB, s *Store) {
		ctx := t.Context()
		c, l := aConnection("Edge"), aLineage("Shop")
		l.Targets = []lineage.Target{{ID: "t", Connection: c.ID}}
		must(t, s.InsertConnection(ctx, c))
		must(t, s.InsertLineage(ctx, l))

		refused(t, s.DeleteConnection(ctx, c.ID), "ConnectionInUse")

		l.Targets, l.Revision = nil, 2
		must(t, s.UpdateLineage(ctx, l))
		must(t, s.DeleteConnection(ctx, c.ID))
		if _, err := s.Connection(ctx, c.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("got %v, want fault.NotFound", err)
		}
	})
}

func TestALineageHasOneLiveRequest(t *testing.T) {
	each(t, func(t *testing.T, _ *storage.DB, s *Store) {
		ctx := t.Context()
		first := aRequest("l")
		must(t, s.InsertRequest(ctx, first))

		refused(t, s.InsertRequest(ctx, aRequest("l")), "Live")
		revocation := aRequest("l")
		revocation.Kind, revocation.Revoke = enrollment.Revocation, "aa"
		must(t, s.InsertRequest(ctx, revocation))
		again := aRequest("l")
		again.Kind, again.Revoke = enrollment.Revocation, "aa"
		refused(t, s.InsertRequest(ctx, again), "Live")

		first.State, first.Revision = enrollment.Failed, 2
		must(t, s.UpdateRequest(ctx, first))
		second := aRequest("l")
		must(t, s.InsertRequest(ctx, second))
		first.State, first.Revision = enrollment.InProgress, 3
		refused(t, s.UpdateRequest(ctx, first), "Live")

		latest, err := s.LatestRequest(ctx, "l")
		if err != nil || latest.ID != second.ID {
			t.Errorf("latest is %s, %v; want %s", latest.ID, err, second.ID)
		}
	})
}

func TestARequestIsMadeOnce(t *testing.T) {
	each(t, func(t *testing.T, _ *storage.DB, s *Store) {
		first, second := aRequest("l"), aRequest("m")
		second.Once = first.Once
		must(t, s.InsertRequest(t.Context(), first))

		refused(t, s.InsertRequest(t.Context(), second), "Exists")

		got, err := s.RequestOnce(t.Context(), first.Once)
		if err != nil || got.ID != first.ID {
			t.Errorf("got %s, %v", got.ID, err)
		}
	})
}

func TestATargetHasOneLiveDeployment(t *testing.T) {
	each(t, func(t *testing.T, _ *storage.DB, s *Store) {
		ctx := t.Context()
		d := aDeployment("r", "l", "t")
		must(t, s.InsertDeployment(ctx, d))

		refused(t, s.InsertDeployment(ctx, aDeployment("", "l", "t")), "Exists")
		must(t, s.InsertDeployment(ctx, aDeployment("r", "l", "u")))

		d.State, d.Revision = deployment.Completed, 2
		must(t, s.UpdateDeployment(ctx, d))
		refused(t, s.InsertDeployment(ctx, aDeployment("r", "l", "t")), "Exists") // once a request
		must(t, s.InsertDeployment(ctx, aDeployment("", "l", "t")))
	})
}

func TestWhatIsOverdueIsFound(t *testing.T) {
	each(t, func(t *testing.T, _ *storage.DB, s *Store) {
		ctx := t.Context()
		live, done := aRequest("l"), aRequest("m")
		done.State, done.Wake = enrollment.Completed, time.Time{}
		d := aDeployment("r", "l", "t")
		must(t, s.InsertRequest(ctx, live))
		must(t, s.InsertRequest(ctx, done))
		must(t, s.InsertDeployment(ctx, d))

		for at, want := range map[time.Time]int{noon.Add(time.Hour - time.Microsecond): 0, noon.Add(time.Hour): 1} {
			requests, err := s.OverdueRequests(ctx, at, 10)
			must(t, err)
			deployments, err := s.OverdueDeployments(ctx, at, 10)
			must(t, err)
			if len(requests) != want || len(deployments) != want {
				t.Errorf("at %s: %d requests and %d deployments, want %d", at, len(requests), len(deployments), want)
			}
		}
	})
}

func TestDueLineagesAreThoseWithoutARequest(t *testing.T) {
	each(t, func(t *testing.T, _ *storage.DB, s *Store) {
		ctx := t.Context()
		late, later, busy, never, future := aLineage("late"), aLineage("later"), aLineage("busy"), aLineage("never"), aLineage("future")
		later.Due, never.Due, future.Due = late.Due.Add(time.Minute), time.Time{}, noon.AddDate(1, 0, 0)
		for _, l := range []lineage.Lineage{later, late, busy, never, future} {
			must(t, s.InsertLineage(ctx, l))
		}
		must(t, s.InsertRequest(ctx, aRequest(busy.ID)))
		revocation := aRequest(late.ID)
		revocation.Kind, revocation.Revoke = enrollment.Revocation, "aa"
		must(t, s.InsertRequest(ctx, revocation))

		got, err := s.DueLineages(ctx, noon.Add(2*time.Hour), 10)

		must(t, err)
		if d := cmp.Diff([]string{late.ID, later.ID}, got); d != "" {
			t.Error(d)
		}
	})
}

func TestOneMemberIsCurrent(t *testing.T) {
	each(t, func(t *testing.T, _ *storage.DB, s *Store) {
		ctx := t.Context()
		l := aLineage("Shop")
		must(t, s.InsertLineage(ctx, l))
		member := func(sum string, at time.Time) lineage.Member {
			return lineage.Member{Certificate: lineage.Certificate{SHA256: sum, NotBefore: noon, NotAfter: noon.AddDate(0, 3, 0), Version: "v", Request: "r"}, Since: at}
		}
		first, second := member("aa", noon), member("bb", noon.Add(time.Hour))
		for _, m := range []lineage.Member{first, second, second} {
			must(t, s.AddMember(ctx, l.ID, m))
		}

		got, err := s.Members(ctx, l.ID, 10)

		must(t, err)
		first.Replaced = second.Since
		if d := cmp.Diff([]lineage.Member{second, first}, got); d != "" {
			t.Error(d)
		}
		must(t, s.DeleteLineage(ctx, l.ID, 1))
		if got, err := s.Members(ctx, l.ID, 10); err != nil || len(got) > 0 {
			t.Errorf("members of a lineage that is gone: %v, %v", got, err)
		}
	})
}

func TestPagesHoldEverythingOnce(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB, s *Store) {
		ctx := t.Context()
		want := map[string]int{}
		must(t, db.Transact(ctx, func(ctx context.Context) error {
			for i := range 25 {
				l := aLineage(fmt.Sprintf("name %02d", i))
				l.Owner = []string{"a", "b"}[i%2]
				e := aRequest(l.ID)
				e.State = []enrollment.State{enrollment.Pending, enrollment.Failed}[i%2]
				for _, err := range []error{
					s.InsertLineage(ctx, l), s.InsertRequest(ctx, e), s.InsertDeployment(ctx, aDeployment(e.ID, l.ID, "t")), s.InsertConnection(ctx, aConnection(l.Name)),
				} {
					if err != nil {
						return err
					}
				}
			}
			return nil
		}))

		after := struct{ lineage, request, deployment, connection string }{}
		for range 6 {
			ls, err := s.Lineages(ctx, lineage.Query{Owner: "a", After: after.lineage, Limit: 5})
			must(t, err)
			for _, l := range ls {
				want["lineage "+l.Owner]++
				after.lineage = l.Name
			}
			es, err := s.Requests(ctx, enrollment.Query{State: enrollment.Failed, After: after.request, Limit: 5})
			must(t, err)
			for _, e := range es {
				want["request "+string(e.State)]++
				after.request = e.ID
			}
			ds, err := s.Deployments(ctx, deployment.Query{After: after.deployment, Limit: 5})
			must(t, err)
			for _, d := range ds {
				want["deployment"]++
				after.deployment = d.ID
			}
			cs, err := s.Connections(ctx, after.connection, 5)
			must(t, err)
			for _, c := range cs {
				want["connection"]++
				after.connection = c.Name
			}
		}

		if d := cmp.Diff(map[string]int{"lineage a": 13, "request failed": 12, "deployment": 25, "connection": 25}, want, cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
	})
}
