// Package scan finds the certificates of TLS services. It needs no server and keeps
// nothing. It sees what ordinary clients refuse: old versions and suites, short keys, certificates
// that no parser reads. It never sends anything but the beginning of a handshake.
package scan

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"chatelaine.dev/internal/fault"
)

// Config says how to scan. Zero values are filled with defaults.
type Config struct {
	Concurrency    int           // probes at a time; 64, at most 1,024; a hostile peer makes one hold 2 MiB
	ConnectTimeout time.Duration // of one connection; 3 s
	Timeout        time.Duration // of everything about one address; 10 s
	Versions       bool          // find out every version that is accepted, at four more connections
	// Resolve finds the addresses of a name; the system's resolver when nil.
	Resolve func(ctx context.Context, name string) ([]netip.Addr, error)
	Now     func() time.Time // time.Now when nil
}

// maxAddresses bounds the addresses of one name that are probed.
const maxAddresses = 8

// Scanner probes. It is safe for concurrent use.
type Scanner struct {
	c     Config
	guard *guard
}

// New makes a scanner.
func New(c Config) *Scanner {
	if c.Concurrency <= 0 {
		c.Concurrency = 64
	}
	c.Concurrency = min(c.Concurrency, 1024)
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 3 * time.Second
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Resolve == nil {
		c.Resolve = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	return &Scanner{c: c, guard: newGuard()}
}

// Progress is reported after every probe.
type Progress struct {
	Done     int // probes that ended, those before the start included
	Total    int
	Found    int // certificates found since the start
	Position int // every probe before it has ended: where to go on after an interruption
}

// Run probes everything in the plan from an index on. report is called once a probe, never
// twice at a time, with its index and one result for each address; an error of it ends the scan.
// Results come in no order. When ctx ends, Run stops soon and returns its error.
func (s *Scanner) Run(ctx context.Context, p *Plan, from int, report func(g Progress, index int, rs []Result) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		next     = from
		mu       sync.Mutex
		finished = make(chan ended)
		workers  sync.WaitGroup
	)
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		if next >= p.Total() || ctx.Err() != nil {
			return 0, false
		}
		next++
		return next - 1, true
	}
	for range min(s.c.Concurrency, max(p.Total()-from, 1)) {
		workers.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				e := ended{i, s.Probe(ctx, p.At(i))}
				select {
				case finished <- e:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	go func() {
		workers.Wait()
		close(finished)
	}()
	counted := tally{Progress: Progress{Done: from, Total: p.Total(), Position: from}, ahead: map[int]bool{}}
	for e := range finished {
		if ctx.Err() != nil {
			continue // results of an interrupted probe say nothing
		}
		counted.add(e)
		if err := report(counted.Progress, e.index, e.results); err != nil {
			cancel(err)
		}
	}
	return context.Cause(ctx)
}

type ended struct {
	index   int
	results []Result
}

// tally counts, and moves the position over everything that has ended without a gap.
type tally struct {
	Progress
	ahead map[int]bool
}

func (t *tally) add(e ended) {
	t.Done++
	for _, r := range e.results {
		if r.Outcome == Found {
			t.Found++
		}
	}
	t.ahead[e.index] = true
	for t.ahead[t.Position] {
		delete(t.ahead, t.Position)
		t.Position++
	}
}

// Probe examines one target: every address of its name, at most eight, one after the other.
func (s *Scanner) Probe(ctx context.Context, t Target) []Result {
	if t.skip {
		return nil
	}
	if t.Name == "" {
		return []Result{s.address(ctx, t, t.Addr, "")}
	}
	lookup, cancel := context.WithTimeout(ctx, s.c.ConnectTimeout)
	defer cancel()
	addresses, err := s.c.Resolve(lookup, t.Name)
	if err == nil && len(addresses) == 0 {
		err = errors.New("name not found")
	}
	if err != nil {
		_, problem := explain(err)
		return []Result{{Target: t, SNI: t.Name, At: s.c.Now(), Outcome: Unreachable, Problem: problem}}
	}
	for i := range addresses {
		addresses[i] = addresses[i].Unmap()
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	addresses = slices.Compact(addresses)
	var results []Result
	for _, a := range addresses[:min(len(addresses), maxAddresses)] {
		results = append(results, s.address(ctx, t, a, t.Name))
	}
	return results
}

// ParseTarget reads one target with one port, such as web.example:443, for Probe.
func ParseTarget(s string) (Target, error) {
	p, err := NewPlan(PlanOptions{Targets: []string{s}, Ports: "443"})
	if err != nil {
		return Target{}, err
	}
	if p.Total() != 1 {
		return Target{}, fault.New(fault.Invalid, "InvalidTarget", "%q is more than one endpoint", s)
	}
	return p.At(0), nil
}

func (s *Scanner) address(ctx context.Context, t Target, a netip.Addr, sni string) Result {
	r := Result{Target: t, IP: a, SNI: sni, At: s.c.Now()}
	(&probe{s: s, to: netip.AddrPortFrom(a, t.Port), sni: sni, home: t.loopback, r: &r}).examine(ctx)
	return r
}
