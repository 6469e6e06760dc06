package inventorydb_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/inventory/filter"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/inventorydb"
	"chatelaine.dev/internal/storage/storagetest"
)

func TestRecordTellsTheStoryOfAPlace(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShop(t, db)
		ca := make1(t, template{name: "Test CA", ca: true})
		old := make1(t, template{name: "web.example", issuer: ca})
		renewed := make1(t, template{name: "web.example", issuer: ca, to: start.Add(190 * day)})
		web, hour := at("web.example"), time.Hour
		down := inventory.Observation{Place: web, State: inventory.Unreachable, At: start.Add(hour), Problem: "connection refused"}
		gone := inventory.Observation{Place: web, State: inventory.Missing, At: start.Add(4 * hour), Problem: "no TLS"}

		first := s.record(t, seen(web, start, old.der, ca.der))
		s.record(t, down)
		unreachable := s.get(t, old.der)
		down.At = start.Add(90 * time.Minute) // still, which is no change
		s.record(t, down)
		s.record(t, seen(web, start.Add(2*hour), old.der, ca.der))
		s.record(t, seen(web, start.Add(3*hour), renewed.der, ca.der))
		s.record(t, gone)

		if want := (inventory.Recorded{Certificates: 2, New: 2, Changed: 1}); first != want {
			t.Errorf("first sighting: %+v, want %+v", first, want)
		}
		if i := unreachable.Installations[0]; i.State != inventory.Unreachable || !i.Current || !i.LastSeen.Equal(start) || !i.Checked.Equal(start.Add(hour)) || i.Problem != "connection refused" {
			t.Errorf("a host that does not answer: %+v", i)
		}
		d := s.get(t, old.der)
		if i := d.Installations[0]; i.State != inventory.Changed || i.Current || !i.LastSeen.Equal(start.Add(2*hour)) || !i.FirstSeen.Equal(start) {
			t.Errorf("the replaced certificate: %+v", i)
		}
		if len(d.Findings) != 1 || d.Findings[0].Rule != "retired" || len(unreachable.Findings) != 0 {
			t.Errorf("a certificate is not judged again when its place changes: %+v, before %+v", d.Findings, unreachable.Findings)
		}
		var story []string
		for _, h := range d.History {
			story = append(story, fmt.Sprintf("%.0f %s", h.At.Sub(start).Hours(), h.State))
		}
		if diff := cmp.Diff([]string{"3 changed", "2 present", "1 unreachable", "0 present"}, story); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
		now := s.get(t, renewed.der)
		if i := now.Installations[0]; i.State != inventory.Missing || !i.Current || !i.LastSeen.Equal(start.Add(3*hour)) {
			t.Errorf("the certificate that is gone: %+v", i)
		}
		if now.Issuers == nil || now.Issuers[0].Name != "Test CA" || now.Trust != inventory.Private {
			t.Errorf("chain %+v, trust %s", now.Issuers, now.Trust)
		}
		if got := now.Installations[0].TLS.Versions; len(got) != 2 || now.Installations[0].Chain[0] != inventory.Parse(ca.der).SHA256 {
			t.Errorf("details of the handshake are lost: %+v", now.Installations[0])
		}
		var kinds []string
		for _, e := range s.events {
			kinds = append(kinds, e.Type)
		}
		if want := []string{"Chatelaine.CertificateDiscovered", "Chatelaine.CertificateDiscovered", "Chatelaine.CertificateDiscovered", "Chatelaine.InstallationChanged"}; !slices.Equal(kinds, want) {
			t.Errorf("events %v", kinds)
		}
		if len(s.records) != 6 || s.records[0].Operation != "ObservationRecord" {
			t.Errorf("%d audit records", len(s.records))
		}
	})
}

// tables is everything that the inventory keeps, for comparisons.
func tables(t *testing.T, db *storage.DB) string {
	t.Helper()
	var all strings.Builder
	for _, q := range []string{
		`SELECT sha256 || ' ' || name || ' ' || first_seen || ' ' || last_seen || ' ' || score || ' ' || trust FROM inventory_certificates ORDER BY 1`,
		`SELECT place || sha256 || state || latest || ' ' || first_seen || ' ' || last_seen || ' ' || checked || problem || detail FROM inventory_installations ORDER BY 1`,
		`SELECT place || sha256 || at || state FROM inventory_history ORDER BY 1`,
		`SELECT sha256 || position || rule || since FROM inventory_findings ORDER BY 1`,
		`SELECT sha256 || value FROM inventory_names ORDER BY 1`,
	} {
		rows, err := db.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			all.WriteString(line + "\n")
		}
		rows.Close()
	}
	return all.String()
}

func TestRecordingTwiceIsRecordingOnce(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShop(t, db)
		random := rand.New(rand.NewPCG(1, 2))
		ders := zlintCertificates(t, 40)
		var batches [][]inventory.Observation
		for round := range 6 {
			var batch []inventory.Observation
			for range 20 {
				o := seen(at(fmt.Sprintf("host%d", random.IntN(8))), start.Add(time.Duration(round)*time.Hour), ders[random.IntN(len(ders))], ders[random.IntN(len(ders))])
				if random.IntN(4) == 0 {
					o.State, o.DER, o.Chain = []inventory.State{inventory.Missing, inventory.Unreachable}[random.IntN(2)], nil, nil
				}
				o.At = o.At.Add(time.Duration(len(batch)) * time.Second)
				batch = append(batch, o)
			}
			batches = append(batches, batch)
		}

		for _, b := range batches {
			s.record(t, b...)
			once := tables(t, db)
			s.record(t, b...)
			if diff := cmp.Diff(once, tables(t, db)); diff != "" {
				t.Fatalf("the same batch again (-once +twice):\n%s", diff)
			}
		}
		once := tables(t, db)
		for _, b := range batches { // a job that resumes sends old observations again
			s.record(t, b...)
		}

		if diff := cmp.Diff(once, tables(t, db)); diff != "" {
			t.Errorf("all batches again (-once +twice):\n%s", diff)
		}
	})
}

func TestAPlaceHasOneLatestCertificate(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShop(t, db)
		a, b := make1(t, template{name: "a.example"}), make1(t, template{name: "b.example"})

		for i, c := range []*issued{a, b, a, b} { // a load balancer that cannot decide
			s.record(t, seen(at("lb.example"), start.Add(time.Duration(i)*time.Minute), c.der))
		}
		s.record(t, seen(at("lb.example"), start.Add(-time.Hour), a.der)) // overtaken long ago

		endpoints, err := s.Endpoints(t.Context(), caller, inventory.EndpointQuery{Source: inventory.Network})
		if err != nil || len(endpoints) != 1 || endpoints[0].SHA256 != inventory.Parse(b.der).SHA256 {
			t.Errorf("endpoints: %+v, %v", endpoints, err)
		}
		if d := s.get(t, a.der); !d.Installations[0].FirstSeen.Equal(start.Add(-time.Hour)) || d.Installations[0].State != inventory.Changed || !d.FirstSeen.Equal(start.Add(-time.Hour)) {
			t.Errorf("late sighting: %+v", d.Installations[0])
		}
	})
}

func TestACertificateMayBeKnownWithoutBeingAnywhere(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShop(t, db)
		c := make1(t, template{name: "a.example"})
		issued := inventory.Observation{Place: inventory.Place{Source: "authority/x"}, State: inventory.Present, DER: c.der, At: start}

		done := s.record(t, issued)

		if d := s.get(t, c.der); done.New != 1 || done.Changed != 0 || len(d.Installations) != 0 || len(d.History) != 0 || d.Judged.IsZero() {
			t.Errorf("%+v, %+v", done, d)
		}
		issued.State, issued.DER = inventory.Missing, nil
		if _, err := s.Service.Record(t.Context(), caller, []inventory.Observation{issued}); !fault.Is(err, fault.Invalid) {
			t.Errorf("missing nowhere: %v", err)
		}
	})
}

func TestTheStoreKeepsOneLatestRowAPlace(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		store := inventorydb.New(db)
		for _, h := range []string{"aa", "bb"} {
			err := db.Transact(t.Context(), func(ctx context.Context) error {
				return store.SaveInstallation(ctx, inventory.Installation{ID: "p", SHA256: h, State: inventory.Present, Current: true})
			})
			if err != nil {
				t.Fatal(err)
			}
		}

		if i, err := store.Current(t.Context(), "p"); err != nil || i.SHA256 != "bb" {
			t.Errorf("%+v, %v", i, err)
		}
		if i, err := store.Installation(t.Context(), "p", "aa"); err != nil || i.Current {
			t.Errorf("%+v, %v", i, err)
		}
	})
}

func TestNothingThatWasFoundIsDropped(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShop(t, db)
		ders := zlintCertificates(t, 1)
		ders = append(ders, []byte("not a certificate"), []byte{0x30, 0x80}, bytes.Repeat([]byte{0x30}, 70000), make([]byte, inventory.MaxDER+1), nameOf(t, strings.Repeat("Ⱥ", 2000)), nameOf(t, "nul\x00byte"), nameOf(t, "bad\xff\xfe"))
		distinct := map[string]bool{}
		var batch []inventory.Observation
		for i, der := range ders {
			distinct[inventory.Parse(der).SHA256] = true
			batch = append(batch, seen(at(fmt.Sprintf("h%d.example", i)), start, der))
			if len(batch) == 100 || i == len(ders)-1 {
				s.record(t, batch...)
				batch = nil
			}
		}

		if n := s.count(t, ""); n != int64(len(distinct)) {
			t.Errorf("%d of %d certificates are in the inventory", n, len(distinct))
		}
		for _, der := range ders[len(ders)-7:] {
			if d := s.get(t, der); d.Name == "" || len(d.Installations) != 1 || d.SHA256 != inventory.Parse(der).SHA256 {
				t.Errorf("%.60q: %+v", der, d.Entry)
			}
		}
		if raw, all := s.count(t, "parser = raw"), s.count(t, "parser = standard or parser = lenient or parser = raw"); raw < 4 || all != int64(len(distinct)) {
			t.Errorf("%d raw, %d by tier", raw, all)
		}
	})
}

// nameOf is a certificate whose DNS name is the given bytes.
func nameOf(t *testing.T, name string) []byte {
	t.Helper()
	placeholder := strings.Repeat("z", len(name))
	return bytes.ReplaceAll(make1(t, template{name: "odd", names: []string{placeholder}}).der, []byte(placeholder), []byte(name))
}

func TestWithoutARecordThereIsNoChange(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShop(t, db)
		s.broken = true

		_, err := s.Service.Record(t.Context(), caller, []inventory.Observation{seen(at("a.example"), start, make1(t, template{name: "a.example"}).der)})

		if err == nil || tables(t, db) != "" {
			t.Errorf("error %v, tables:\n%s", err, tables(t, db))
		}
	})
}

func TestEveryOperationAsksTheGuard(t *testing.T) {
	s := newShop(t, storagetest.SQLite(t))
	s.refuse = true
	ctx, nobody := t.Context(), access.Caller{Principal: "p"}

	for name, call := range map[string]func() error{
		"List":      func() error { _, err := s.List(ctx, nobody, inventory.ListOptions{}); return err },
		"Count":     func() error { _, err := s.Count(ctx, nobody, ""); return err },
		"Get":       func() error { _, err := s.Get(ctx, nobody, "00"); return err },
		"Endpoints": func() error { _, err := s.Endpoints(ctx, nobody, inventory.EndpointQuery{}); return err },
		"Record":    func() error { _, err := s.Service.Record(ctx, nobody, nil); return err },
		"Complete":  func() error { _, err := s.Complete(ctx, nobody, "x", "", start); return err },
		"Rejudge":   func() error { _, _, err := s.Rejudge(ctx, nobody, ""); return err },
	} {
		if err := call(); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListPagesEveryRowOnceInEveryOrder(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShop(t, db)
		for i, der := range zlintCertificates(t, 12) {
			s.record(t, seen(at(fmt.Sprintf("h%d.example", i)), start.Add(time.Duration(i%7)*time.Second), der))
		}
		total := s.count(t, "key = rsa")

		for _, field := range inventory.Sortable() {
			for _, sort := range []string{string(field), "-" + string(field)} {
				met := map[string]bool{}
				o := inventory.ListOptions{Filter: "key = rsa", Sort: sort, Limit: 7}
				for pages := 0; ; pages++ {
					p, err := s.List(t.Context(), caller, o)
					if err != nil || pages > 100 {
						t.Fatalf("%s, page %d: %v", sort, pages, err)
					}
					for _, c := range p.Certificates {
						if met[c.SHA256] {
							t.Fatalf("%s: %s is on two pages", sort, c.Name)
						}
						met[c.SHA256] = true
					}
					if o.Cursor = p.Next; p.Next == "" {
						break
					}
				}
				if int64(len(met)) != total {
					t.Errorf("%s: %d rows, count says %d", sort, len(met), total)
				}
			}
		}
	})
}

func TestListRefusesWhatItDoesNotUnderstand(t *testing.T) {
	s := newShop(t, storagetest.SQLite(t))
	for range 3 {
		s.record(t, seen(at("a.example"), start, make1(t, template{name: "a.example"}).der))
	}
	first, err := s.List(t.Context(), caller, inventory.ListOptions{Limit: 1})
	if err != nil || first.Next == "" {
		t.Fatalf("%+v, %v", first, err)
	}

	for name, o := range map[string]inventory.ListOptions{
		"InvalidFilter": {Filter: "expires <"},
		"InvalidSort":   {Sort: "name; DROP TABLE x"},
		"InvalidLimit":  {Limit: 501},
		"InvalidCursor": {Cursor: first.Next, Sort: "name"},
	} {
		if _, err := s.List(t.Context(), caller, o); !fault.HasCode(err, name) || !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.List(t.Context(), caller, inventory.ListOptions{Cursor: first.Next, Filter: "ca"}); !fault.HasCode(err, "InvalidCursor") {
		t.Errorf("cursor of another filter: %v", err)
	}
	forged := base64.RawURLEncoding.EncodeToString([]byte(`{"s":"name","f":"e3b0c44298fc1c14","t":"\u0000","h":""}`))
	if _, err := s.List(t.Context(), caller, inventory.ListOptions{Cursor: forged, Sort: "name"}); !fault.HasCode(err, "InvalidCursor") {
		t.Errorf("forged cursor: %v", err)
	}
	if _, err := s.Get(t.Context(), caller, "\x00"); !fault.Is(err, fault.Invalid) {
		t.Errorf("no fingerprint: %v", err)
	}
	if _, err := s.Get(t.Context(), caller, strings.Repeat("0a:", 31)+"0A"); !fault.HasCode(err, "CertificateNotFound") {
		t.Errorf("no such certificate: %v", err)
	}
	if _, err := s.Service.Record(t.Context(), caller, make([]inventory.Observation, 1001)); !fault.Is(err, fault.Invalid) {
		t.Errorf("too many: %v", err)
	}
}

func TestAnnotationsOfTheLifecycle(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShop(t, db)
		c := make1(t, template{name: "a.example"})
		h := inventory.Parse(c.der).SHA256
		s.record(t, seen(at("a.example"), start, c.der))
		var stages []inventory.Stage
		for _, o := range [][2]string{{"", ""}, {"", "Team Blau"}, {"lineage1", "Team Blau"}} {
			if err := s.SetLineage(t.Context(), h, o[0], o[1]); err != nil {
				t.Fatal(err)
			}
			stages = append(stages, s.get(t, c.der).Stage)
		}
		if want := []inventory.Stage{inventory.Discovered, inventory.Monitored, inventory.Managed}; !slices.Equal(stages, want) {
			t.Errorf("stages %v", stages)
		}

		for _, reason := range []string{"keyCompromise", "superseded"} {
			if err := s.MarkRevoked(t.Context(), h, start.Add(day), reason); err != nil {
				t.Fatal(err)
			}
		}

		d := s.get(t, c.der)
		if d.Status != inventory.StatusRevoked || d.RevocationReason != "keyCompromise" || d.Lineage != "lineage1" || d.Owner != "Team Blau" || d.Score != 95 {
			t.Errorf("%+v", d.Annotations)
		}
		if err := s.SetLineage(t.Context(), strings.Repeat("00", 32), "l", ""); !fault.Is(err, fault.NotFound) {
			t.Errorf("unknown certificate: %v", err)
		}
		s.record(t, seen(at("b.example"), start.Add(day), c.der))
		if again := s.get(t, c.der); again.Stage != inventory.Managed || again.RevokedAt.IsZero() {
			t.Errorf("a sighting forgets annotations: %+v", again.Annotations)
		}
	})
}

func TestCompleteMarksWhatASourceNoLongerHas(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShop(t, db)
		c := make1(t, template{name: "a.example"})
		object := func(source, path string, when time.Time) inventory.Observation {
			return inventory.Observation{Place: inventory.Place{Source: source, Path: path}, State: inventory.Present, DER: c.der, At: when, Object: &inventory.Object{Name: "x", Enabled: true, Labels: map[string]string{"k": "v"}}}
		}
		s.record(t, object("vault1", "/a", start), object("vault1", "/b", start), object("vault2", "/a", start), seen(at("a.example"), start, c.der))
		s.record(t, object("vault1", "/a", start.Add(time.Hour)))

		n, err := s.Complete(t.Context(), caller, "vault1", "run2", start.Add(time.Minute))

		if err != nil || n != 1 {
			t.Errorf("%d missing, %v", n, err)
		}
		states := map[string]inventory.State{}
		for _, i := range s.get(t, c.der).Installations {
			states[i.Source+i.Path] = i.State
		}
		if diff := cmp.Diff(map[string]inventory.State{"vault1/a": "present", "vault1/b": "missing", "vault2/a": "present", "network": "present"}, states); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
		if n, err := s.Complete(t.Context(), caller, "vault1", "run3", start.Add(day)); n != 1 || err != nil { // only /a is new to be missing
			t.Errorf("%d missing at the next time, %v", n, err)
		}
		if _, err := s.Complete(t.Context(), caller, inventory.Network, "", start); !fault.Is(err, fault.Invalid) {
			t.Errorf("the network is never seen completely: %v", err)
		}
	})
}

func TestRejudgeFindsWhatTimeMadeTrue(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShop(t, db)
		for i := range 120 {
			s.record(t, seen(at(fmt.Sprintf("h%d.example", i)), start, make1(t, template{name: "h.example", to: start.Add(time.Duration(i+1) * day)}).der))
		}
		before := s.count(t, "finding = expired")
		s.now = start.Add(60*day + time.Hour)

		judged, after := 0, ""
		for {
			next, n, err := s.Rejudge(t.Context(), caller, after)
			if err != nil {
				t.Fatal(err)
			}
			judged += n
			if after = next; next == "" {
				break
			}
		}

		if now := s.count(t, "finding = expired"); before != 0 || now != 60 || judged != 120 || s.count(t, "status = expired") != 60 || s.count(t, "grade = F") != 60 {
			t.Errorf("expired %d, then %d of %d judged", before, now, judged)
		}
	})
}

func TestRulesAreCountedByCertificatesAndTheirWorst(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShop(t, db)
		store := inventorydb.New(db)
		finding := func(rule string, severity inventory.Severity, place string) inventory.Finding {
			return inventory.Finding{Rule: rule, Severity: severity, Place: place}
		}
		for n, findings := range [][]inventory.Finding{
			{finding("expired", inventory.Critical, ""), finding("hostname-mismatch", inventory.Low, "1"), finding("hostname-mismatch", inventory.Medium, "2")},
			{finding("hostname-mismatch", inventory.Info, "3")},
			{},
		} {
			sum := strings.Repeat(strconv.Itoa(n), 64)
			if _, err := store.Save(t.Context(), &inventory.Certificate{SHA256: sum, DER: []byte{1}}, start); err != nil {
				t.Fatal(err)
			}
			if err := store.SaveVerdict(t.Context(), sum, inventory.Verdict{Findings: findings}, start); err != nil {
				t.Fatal(err)
			}
		}

		got, err := s.Failing(t.Context(), caller)

		want := []inventory.Failing{{Rule: "expired", Severity: inventory.Critical, Certificates: 1}, {Rule: "hostname-mismatch", Severity: inventory.Medium, Certificates: 2}}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v %v, want %v", got, err, want)
		}
		s.refuse = true
		if _, err := s.Failing(t.Context(), caller); !fault.Is(err, fault.Denied) {
			t.Errorf("who may not read counts: %v", err)
		}
	})
}

// tired is a reader that takes its time over counting.
type tired struct {
	inventory.Reader
	s    *shop
	took time.Duration
}

func (r tired) Count(ctx context.Context, f filter.Node) (int64, error) {
	r.s.now = r.s.now.Add(r.took)
	return r.Reader.Count(ctx, f)
}

func TestANumberIsKeptOnlyWhereCountingTakesLongAndNeverForThoseWhoMayNotRead(t *testing.T) {
	t.Parallel()
	s := newShop(t, storagetest.SQLite(t))
	store := inventorydb.New(s.db)
	add := func(sum string) {
		if _, err := store.Save(t.Context(), &inventory.Certificate{SHA256: strings.Repeat(sum, 64), DER: []byte{1}}, start); err != nil {
			t.Fatal(err)
		}
	}
	want := func(n int64) {
		t.Helper()
		if got, err := s.Estimate(t.Context(), caller, ""); err != nil || got != n {
			t.Errorf("%d %v, want %d", got, err, n)
		}
	}
	want(0)
	add("1")
	want(1) // it was quick, so it is counted again

	s.Reader = tired{s.Reader, s, time.Second}
	want(1)
	add("2")
	s.now = s.now.Add(19 * time.Second)
	want(1)
	s.refuse = true
	if _, err := s.Estimate(t.Context(), caller, ""); !fault.Is(err, fault.Denied) {
		t.Errorf("who may not read: %v", err)
	}
	s.refuse = false
	s.now = s.now.Add(2 * time.Second)
	want(2)
}
