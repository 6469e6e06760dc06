package bench

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// work is one kind of request to the product, and the path of the floor beside it.
type work struct {
	name, method, path, body string
	floor                    string
}

// works are measured in this order.
func works() []work {
	const digest = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
	return []work{
		{"SecretGet", http.MethodGet, "/secrets/bench", "", "/"},
		{"SecretSet", http.MethodPut, "/secrets/bench", `{"value":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}`, "/"},
		{"SignES256", http.MethodPost, "/keys/bench/sign", `{"alg":"ES256","value":"` + digest + `"}`, "/sign"},
	}
}

// result is what a number of requests cost.
type result struct {
	perSecond float64
	p50, p99  time.Duration
	cpu       float64 // seconds of the server's CPU for one request
}

func BenchmarkVault(b *testing.B) {
	product, floor := start(b, "product"), start(b, "floor")
	for _, w := range works() {
		for _, conns := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/%d", w.name, conns), func(b *testing.B) {
				n := max(b.N, 200)
				base := load(b, floor, conns, n, request(b, floor, w.method, w.floor, w.body))
				got := load(b, product, conns, n, request(b, product, w.method, w.path+"?api-version=7.6", w.body))
				b.ReportMetric(got.perSecond, "req/s")
				b.ReportMetric(float64(got.p50.Microseconds()), "p50-µs")
				b.ReportMetric(float64(got.p99.Microseconds()), "p99-µs")
				b.ReportMetric(got.cpu*1e6, "server-µs/req")
				if base.cpu > 0 {
					b.ReportMetric(got.cpu/base.cpu, "×floor")
				}
				b.ReportMetric(product.memory(b), "MiB")
			})
		}
	}
}

// request makes requests of one kind.
func request(b *testing.B, s server, method, path, body string) func() *http.Request {
	return func() *http.Request {
		r, err := http.NewRequestWithContext(b.Context(), method, s.URL+path, strings.NewReader(body))
		if err != nil {
			panic(err) // the address is ours
		}
		r.Header.Set("Authorization", "Bearer "+s.Token)
		return r
	}
}

// load sends n requests over a number of connections.
func load(b *testing.B, s server, conns, n int, next func() *http.Request) result {
	b.Helper()
	clients := make([]*http.Client, conns)
	for i := range clients {
		clients[i] = client()
		if err := send(clients[i], next()); err != nil { // opens the connection
			b.Fatal(err)
		}
		defer clients[i].CloseIdleConnections()
	}
	var left atomic.Int64
	left.Store(int64(n))
	took := make([][]time.Duration, conns)
	errs := make([]error, conns)
	before, begun := s.cpu(b), time.Now()
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for left.Add(-1) >= 0 && errs[i] == nil {
				t := time.Now()
				errs[i] = send(c, next())
				took[i] = append(took[i], time.Since(t))
			}
		})
	}
	wg.Wait()
	elapsed, cpu := time.Since(begun), s.cpu(b)-before
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	return result{perSecond: float64(n) / elapsed.Seconds(), p50: all[len(all)/2], p99: all[len(all)*99/100], cpu: cpu / float64(n)}
}

func send(c *http.Client, r *http.Request) error {
	res, err := c.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", r.Method, r.URL.Path, res.Status)
	}
	return nil
}
