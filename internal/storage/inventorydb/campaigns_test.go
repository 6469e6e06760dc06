package inventorydb_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/job"
	"chatelaine.dev/internal/lifecycle/discovery"
	"chatelaine.dev/internal/lifecycle/discovery/scan"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/inventorydb"
	"chatelaine.dev/internal/storage/storagetest"
)

// search is discovery on the shop's inventory.
type search struct {
	*discovery.Service
	shop   *shop
	source *shelf
}

func newSearch(t testing.TB, db *storage.DB) *search {
	t.Helper()
	s := newShop(t, db)
	x := &search{shop: s, source: &shelf{}}
	x.Service = discovery.New(discovery.Deps{
		Store: inventorydb.NewCampaigns(db), Inventory: s.Service, Sources: x, Scan: scan.Config{Timeout: 5 * time.Second, Concurrency: 4},
		Transact: db.Transact, Audit: s, Guard: s, Events: s, Jobs: s, Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler),
	})
	return x
}

// Source implements discovery.Sources: there is one connection, "shelf".
func (x *search) Source(_ context.Context, id string) (connector.Source, error) {
	switch id {
	case "shelf":
		return x.source, nil
	case "target-only":
		return nil, fault.New(fault.Invalid, "KindNotOffered", "it is no source")
	}
	return nil, fault.New(fault.NotFound, "ConnectionNotFound", "no such connection")
}

// shelf is a source: a list of certificates, and an error at its end.
type shelf struct {
	found  []connector.Found
	err    error
	before func(i int) // called before each
}

func (s *shelf) Check(context.Context) error { return nil }

func (s *shelf) Discover(_ context.Context, yield func(connector.Found) error) error {
	for i, f := range s.found {
		if s.before != nil {
			s.before(i)
		}
		if err := yield(f); err != nil {
			return err
		}
	}
	return s.err
}

func (x *search) create(t testing.TB, d discovery.Draft) discovery.Campaign {
	t.Helper()
	c, err := x.Create(t.Context(), caller, d)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (x *search) start(t testing.TB, campaign string) discovery.Run {
	t.Helper()
	r, err := x.StartRun(t.Context(), caller, campaign)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (x *search) run(t testing.TB, id string) discovery.Run {
	t.Helper()
	r, err := x.GetRun(t.Context(), caller, id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// serve runs a TLS server on 127.0.0.1 until the test ends, and returns its port.
func serve(t testing.TB, c *issued) int {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{c.der}, PrivateKey: c.key}}})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				io.Copy(io.Discard, conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return l.Addr().(*net.TCPAddr).Port
}

func TestACampaignOfTheNetworkFillsTheInventory(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		x := newSearch(t, db)
		web := make1(t, template{name: "web.example"})
		port := serve(t, web)
		c := x.create(t, discovery.Draft{Name: "home", Targets: []string{"127.0.0.1"}, Ports: "1," + strconv.Itoa(port), Versions: true})
		r := x.start(t, c.ID)
		if len(x.shop.jobs) != 1 || x.shop.jobs[0] != (discovery.RunArgs{Run: r.ID}) {
			t.Fatalf("jobs %v", x.shop.jobs)
		}

		if err := x.HandleRun(t.Context(), discovery.RunArgs{Run: r.ID}); err != nil {
			t.Fatal(err)
		}

		got := x.run(t, r.ID)
		want := discovery.Run{ID: r.ID, Campaign: c.ID, State: discovery.Completed, Queued: start, Started: start, Finished: start, Total: 2, Done: 2, Found: 1, New: 1, Changed: 1, Unreachable: 1, Position: 2}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("run (-want +got):\n%s", diff)
		}
		d := x.shop.get(t, web.der)
		if i := d.Installations[0]; i.IP != "127.0.0.1" || i.Port != port || i.Campaign != c.ID || i.Run != r.ID || !slices.Equal(i.TLS.Versions, []string{"TLS 1.2", "TLS 1.3"}) || i.TLS.Version != "TLS 1.3" {
			t.Errorf("%+v %+v", i, i.TLS)
		}
		if n := x.shop.count(t, "campaign = "+c.ID+" and port = "+strconv.Itoa(port)); n != 1 {
			t.Errorf("%d by filter", n)
		}
		if err := x.HandleRun(t.Context(), discovery.RunArgs{Run: r.ID}); err != nil || x.run(t, r.ID) != got {
			t.Errorf("a job that comes twice: %v", err)
		}
		var operations []string
		for _, rec := range x.shop.records {
			operations = append(operations, rec.Operation)
		}
		if want := []string{"CampaignCreate", "RunStart", "ObservationRecord", "RunEnd"}; !slices.Equal(operations, want) {
			t.Errorf("records %v", operations)
		}
	})
}

// flaky is an inventory whose n-th Record fails.
type flaky struct {
	discovery.Inventory
	left int
}

func (f *flaky) Record(ctx context.Context, c access.Caller, o []inventory.Observation) (inventory.Recorded, error) {
	if f.left--; f.left == 0 {
		return inventory.Recorded{}, errors.New("the machine stopped")
	}
	return f.Inventory.Record(ctx, c, o)
}

// However often it is interrupted, a run covers everything and its counts are exact.
func TestAnInterruptedRunGoesOnAndCountsOnce(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		x := newSearch(t, db)
		port := serve(t, make1(t, template{name: "web.example"}))
		c := x.create(t, discovery.Draft{Name: "home", Targets: []string{"127.0.0.1-127.0.1.44"}, Ports: strconv.Itoa(port) + ",1"})
		r := x.start(t, c.ID)

		interrupted := 0
		for try := 2; ; try++ {
			x.Service.Inventory = &flaky{x.shop.Service, try}
			err := x.HandleRun(t.Context(), discovery.RunArgs{Run: r.ID})
			if err == nil {
				break
			}
			if interrupted++; interrupted > 20 || x.run(t, r.ID).State != discovery.Running {
				t.Fatalf("try %d: %v, %+v", try, err, x.run(t, r.ID))
			}
		}

		// Only 127.0.0.1 is served: the listener is bound to it alone.
		got := x.run(t, r.ID)
		if got.State != discovery.Completed || got.Total != 600 || got.Done != 600 || got.Position != 600 || got.Found != 1 || got.Unreachable != 599 || got.New != 1 {
			t.Errorf("%+v", got)
		}
		if interrupted < 2 {
			t.Errorf("interrupted %d times only", interrupted)
		}
	})
}

func TestACanceledRunStops(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		x := newSearch(t, db)
		for i := range 350 {
			x.source.found = append(x.source.found, connector.Found{Location: fmt.Sprint("/", i), Certificate: []byte(fmt.Sprint("not parseable ", i))})
		}
		c := x.create(t, discovery.Draft{Name: "shelf", Connection: "shelf"})
		r := x.start(t, c.ID)
		if _, err := x.StartRun(t.Context(), caller, c.ID); !fault.HasCode(err, "RunUnderWay") {
			t.Errorf("a second run: %v", err)
		}
		x.source.before = func(i int) {
			if i != 150 { // in the middle of the second batch
				return
			}
			if _, err := x.CancelRun(t.Context(), caller, r.ID); err != nil {
				t.Error(err)
			}
		}

		err := x.HandleRun(t.Context(), discovery.RunArgs{Run: r.ID})

		got := x.run(t, r.ID)
		if err != nil || got.State != discovery.Canceled || got.Finished.IsZero() {
			t.Errorf("%v, %+v", err, got)
		}
		if n := x.shop.count(t, ""); n != 100 {
			t.Errorf("%d certificates are recorded, want the first batch alone", n)
		}
		if _, err := x.CancelRun(t.Context(), caller, r.ID); !fault.HasCode(err, "RunEnded") {
			t.Errorf("canceled twice: %v", err)
		}
		x.start(t, c.ID) // another may begin
	})
}

func TestASourceIsReadToItsEndOrNothingIsMissing(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		x := newSearch(t, db)
		a, b, ca := make1(t, template{name: "a.example"}), make1(t, template{name: "b.example"}), make1(t, template{name: "CA", ca: true})
		full := []connector.Found{
			{Location: "https://v/certificates/a/1", Name: "a", Version: "1", Enabled: true, Certificate: a.der, Chain: [][]byte{ca.der}, Key: "hsm 1", Labels: map[string]string{"team": "blue\x00"}},
			{Location: "https://v/certificates/b/1", Name: "b", Version: "1", Certificate: b.der},
			{Location: "https://v/certificates/c/1", Name: "c", Problem: "access denied"},
		}
		c := x.create(t, discovery.Draft{Name: "shelf", Connection: "shelf"})
		states := func() map[string]inventory.State {
			out := map[string]inventory.State{}
			for _, i := range []*issued{a, b} {
				out[i.crt.Subject.CommonName] = x.shop.get(t, i.der).Installations[0].State
			}
			return out
		}
		run := func() discovery.Run {
			x.shop.now = x.shop.now.Add(time.Hour)
			r := x.start(t, c.ID)
			if err := x.HandleRun(t.Context(), discovery.RunArgs{Run: r.ID}); err != nil {
				t.Logf("the queue would try again: %v", err)
			}
			return x.run(t, r.ID)
		}

		x.source.found = full
		if r := run(); r.State != discovery.Completed || r.Found != 2 || r.Unreachable != 1 || r.Total != 3 || r.New != 3 {
			t.Errorf("first run: %+v", r)
		}
		i := x.shop.get(t, a.der).Installations[0]
		if want := (&inventory.Object{Name: "a", Version: "1", Enabled: true, Key: "hsm 1", Labels: map[string]string{"team": `blue\u0000`}}); cmp.Diff(want, i.Object) != "" || i.Source != "shelf" || i.Path != "https://v/certificates/a/1" {
			t.Errorf("%+v %+v", i, i.Object)
		}
		x.source.found, x.source.err = full[:1], fault.New(fault.Denied, "Forbidden", "the credentials are refused")
		if r := run(); r.State != discovery.Failed || r.Problem != "the credentials are refused" || r.Found != 1 {
			t.Errorf("a run that broke off: %+v", r)
		}
		if diff := cmp.Diff(map[string]inventory.State{"a.example": "present", "b.example": "present"}, states()); diff != "" {
			t.Errorf("a run that broke off made something missing:\n%s", diff)
		}
		x.source.err = nil
		run()
		if diff := cmp.Diff(map[string]inventory.State{"a.example": "present", "b.example": "missing"}, states()); diff != "" {
			t.Errorf("a whole run (-want +got):\n%s", diff)
		}
		x.source.found, x.source.err = nil, errors.New("the network is down")
		if r := run(); r.State != discovery.Running {
			t.Errorf("a trouble that may pass ended the run: %+v", r)
		}
	})
}

// The real queue runs the job, tries again what failed, and gives up in the end.
func TestTheQueueDoesRuns(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		x := newSearch(t, db)
		queue, err := job.New(t.Context(), job.Config{Pool: db.Pool(), PostgreSQL: db.Dialect() == storage.PostgreSQL, Tx: storage.Tx, Transact: db.Transact,
			Pause: func(int) time.Duration { return 0 }, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		job.Handle(queue, x.HandleRun)
		job.Handle(queue, x.HandleSchedule)
		x.Service.Jobs, x.shop.ended = queue, make(chan string, 1)
		if err := queue.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := queue.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		tries := 0
		x.source.before = func(int) { tries++ }
		x.source.found = []connector.Found{{Location: "/a", Certificate: make1(t, template{name: "a.example"}).der}}
		c := x.create(t, discovery.Draft{Name: "shelf", Connection: "shelf"})

		fine := x.start(t, c.ID)
		<-x.shop.ended
		x.source.err = errors.New("password=hunter2 was not accepted by the broken server")
		broken := x.start(t, c.ID)
		<-x.shop.ended

		if r := x.run(t, fine.ID); r.State != discovery.Completed || r.Found != 1 {
			t.Errorf("%+v", r)
		}
		r := x.run(t, broken.ID)
		if r.State != discovery.Failed || tries != 1+8 || strings.Contains(r.Problem, "hunter2") {
			t.Errorf("%d tries, %+v", tries, r)
		}
	})
}

func TestTheScheduleStartsWhatIsDueOnce(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		x := newSearch(t, db)
		c := x.create(t, discovery.Draft{Name: "hourly", Targets: []string{"127.0.0.1"}, Interval: 3600, Enabled: true})
		x.create(t, discovery.Draft{Name: "by hand", Targets: []string{"127.0.0.1"}})
		off := x.create(t, discovery.Draft{Name: "off", Targets: []string{"127.0.0.1"}, Interval: 3600})
		tick := func() int {
			before := len(x.shop.jobs)
			if err := x.HandleSchedule(t.Context(), discovery.ScheduleArgs{}); err != nil {
				t.Fatal(err)
			}
			return len(x.shop.jobs) - before
		}
		next := func() time.Duration {
			c, err := x.Get(t.Context(), caller, c.ID)
			if err != nil {
				t.Fatal(err)
			}
			return c.Next.Sub(start)
		}

		if n := tick(); n != 1 || next() != time.Hour {
			t.Errorf("first tick: %d runs, next in %s", n, next())
		}
		if n := tick(); n != 0 {
			t.Errorf("second tick: %d runs", n)
		}
		x.shop.now = start.Add(time.Hour)
		if n := tick(); n != 0 || next() != 2*time.Hour {
			t.Errorf("while the first is under way: %d runs, next in %s", n, next())
		}
		runs, err := x.ListRuns(t.Context(), caller, discovery.RunQuery{Campaign: c.ID, Limit: 10})
		if err != nil || len(runs) != 1 {
			t.Fatalf("%v, %v", runs, err)
		}
		if _, err := x.CancelRun(t.Context(), caller, runs[0].ID); err != nil {
			t.Fatal(err)
		}
		x.shop.now = start.Add(10*time.Hour + time.Minute) // the machine was off
		if n := tick(); n != 1 || next() != 10*time.Hour+time.Minute+time.Hour {
			t.Errorf("after a pause: %d runs, next in %s", n, next())
		}
		off.Draft.Enabled = true
		if off, err = x.Update(t.Context(), caller, off.ID, off.Revision, off.Draft); err != nil || !off.Next.Equal(x.shop.now.Add(time.Hour)) {
			t.Errorf("enabled: %+v, %v", off, err)
		}
	})
}

func TestCampaignsAreChecked(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		x := newSearch(t, db)
		good := discovery.Draft{Name: "Good", Targets: []string{"192.0.2.0/24:443", "web.example"}, Exclude: []string{"192.0.2.7"}, Interval: 300, Enabled: true}
		c := x.create(t, good)
		for code, change := range map[string]func(d *discovery.Draft){
			"InvalidName":       func(d *discovery.Draft) { d.Name = "-" },
			"InvalidInterval":   func(d *discovery.Draft) { d.Interval = 299 },
			"InvalidCampaign":   func(d *discovery.Draft) { d.Connection = "shelf" },
			"InvalidTarget":     func(d *discovery.Draft) { d.Targets = []string{"10.0.0.0/8"} },
			"AddressForbidden":  func(d *discovery.Draft) { d.Targets = []string{"169.254.169.254"} },
			"UnknownConnection": func(d *discovery.Draft) { *d = discovery.Draft{Name: "x", Connection: "nope"} },
			"KindNotOffered":    func(d *discovery.Draft) { *d = discovery.Draft{Name: "x", Connection: "target-only"} },
			"NameTaken":         func(d *discovery.Draft) { d.Name = "gOOD" },
		} {
			d := good
			d.Name = "other"
			change(&d)
			if _, err := x.Create(t.Context(), caller, d); !fault.HasCode(err, code) {
				t.Errorf("%s: %v", code, err)
			}
		}
		changed := good
		changed.Name, changed.Interval = "Better", 600
		if u, err := x.Update(t.Context(), caller, c.ID, 1, changed); err != nil || u.Revision != 2 {
			t.Errorf("%+v, %v", u, err)
		}
		if _, err := x.Update(t.Context(), caller, c.ID, 1, changed); !fault.HasCode(err, "Changed") {
			t.Errorf("an old revision: %v", err)
		}
		read, err := x.Get(t.Context(), caller, c.ID)
		if diff := cmp.Diff(changed, read.Draft); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		other := x.create(t, good)
		list, err := x.List(t.Context(), caller, "better", 10)
		if err != nil || len(list) != 1 || list[0].ID != other.ID {
			t.Errorf("%+v, %v", list, err)
		}
		r := x.start(t, c.ID)
		if err := x.Delete(t.Context(), caller, c.ID); err != nil {
			t.Error(err)
		}
		if err := x.HandleRun(t.Context(), discovery.RunArgs{Run: r.ID}); err != nil {
			t.Errorf("the job of a deleted campaign: %v", err)
		}
		if _, err := x.Get(t.Context(), caller, c.ID); !fault.HasCode(err, "CampaignNotFound") {
			t.Errorf("deleted: %v", err)
		}
		if _, err := x.GetRun(t.Context(), caller, "x\x00"); !fault.HasCode(err, "RunNotFound") {
			t.Errorf("no id: %v", err)
		}
		for i := range 105 { // history is bounded
			x.shop.now = x.shop.now.Add(time.Minute)
			r := x.start(t, other.ID)
			if _, err := x.CancelRun(t.Context(), caller, r.ID); err != nil {
				t.Fatal(i, err)
			}
		}
		if runs, err := x.ListRuns(t.Context(), caller, discovery.RunQuery{Campaign: other.ID, Limit: 500}); err != nil || len(runs) != 100 || !runs[0].Queued.After(runs[99].Queued) {
			t.Errorf("%d runs kept, %v", len(runs), err)
		}
	})
}

func TestDiscoveryAsksTheGuard(t *testing.T) {
	x := newSearch(t, storagetest.SQLite(t))
	x.shop.refuse = true
	ctx, nobody := t.Context(), access.Caller{Principal: "p"}

	for name, call := range map[string]func() error{
		"Create":    func() error { _, err := x.Create(ctx, nobody, discovery.Draft{}); return err },
		"Update":    func() error { _, err := x.Update(ctx, nobody, "", 0, discovery.Draft{}); return err },
		"Delete":    func() error { return x.Delete(ctx, nobody, "") },
		"Get":       func() error { _, err := x.Get(ctx, nobody, ""); return err },
		"List":      func() error { _, err := x.List(ctx, nobody, "", 1); return err },
		"StartRun":  func() error { _, err := x.StartRun(ctx, nobody, ""); return err },
		"CancelRun": func() error { _, err := x.CancelRun(ctx, nobody, ""); return err },
		"GetRun":    func() error { _, err := x.GetRun(ctx, nobody, ""); return err },
		"ListRuns":  func() error { _, err := x.ListRuns(ctx, nobody, discovery.RunQuery{}); return err },
	} {
		if err := call(); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := fmt.Sprint(x.shop.actions); strings.Count(got, "campaigns/read") != 4 || strings.Count(got, "campaigns/write") != 2 || strings.Count(got, "campaigns/run") != 2 || strings.Count(got, "campaigns/delete") != 1 {
		t.Errorf("actions %s", got)
	}
	if bytes.Contains([]byte(fmt.Sprint(x.shop.records)), []byte("Create")) {
		t.Error("a refused call left a record of success")
	}
}
