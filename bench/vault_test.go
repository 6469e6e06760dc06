package bench

import (
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"
)

// work is one kind of request to the product, and the path of the floor beside it.
type work struct {
	name, method, path, body string
	floor                    string
	most                     float64 // times the floor's CPU that a request may cost; 0 says nothing
}

// works are measured in this order.
func works(g greeting) []work {
	const digest = `,"value":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}`
	plain := `{"alg":"A256GCM","value":"` + strings.Repeat("x", 86) + `"}`
	return []work{
		{"secret get", http.MethodGet, "/secrets/bench", "", "/", 2.5},
		{"secret set", http.MethodPut, "/secrets/bench", `{"value":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}`, "/", 0},
		{"sign ES256", http.MethodPost, "/keys/ec/sign", `{"alg":"ES256"` + digest, "/es256", 1.35},
		{"sign RS256", http.MethodPost, "/keys/rsa/sign", `{"alg":"RS256"` + digest, "/rs256", 1.1},
		{"unwrap RSA-OAEP-256", http.MethodPost, "/keys/rsa/unwrapkey", `{"alg":"RSA-OAEP-256","value":"` + g.Wrapped + `"}`, "/oaep", 1.1},
		{"encrypt A256GCM", http.MethodPost, "/keys/aes/encrypt", plain, "/gcm", 2.5},
		{"list 25 of 100,000", http.MethodGet, listing, "", "/", 0},
	}
}

// listing stands for a page of a vault with many secrets, each time another.
const (
	listing = "/secrets"
	filling = 100_000
)

// filled starts a server on a folder that another has filled and left.
func filled(b *testing.B, folder string, vaults, secrets int) server {
	start(b, "product", folder, fmt.Sprintf("%s_FILL=%d×%d", role, vaults, secrets)).stop()
	return start(b, "product", folder, role+"_FILL=")
}

// page asks a filled vault for 25 secrets from anywhere on.
func page(b *testing.B, s server, vault, secrets int) *http.Request {
	after := fmt.Sprintf("s%06d", rand.IntN(secrets))
	return in(request(b, s, http.MethodGet, "/secrets?api-version=7.6&$skiptoken="+skipToken(after), "")(), vault)
}

// result is what requests cost.
type result struct {
	took    []time.Duration // by request, sorted
	elapsed float64         // seconds
	used    float64         // seconds of the server's CPU
}

func (r result) perSecond() float64 { return float64(len(r.took)) / r.elapsed }

// cpu is in seconds, for one request.
func (r result) cpu() float64 { return r.used / float64(len(r.took)) }

func (r result) percentile(p int) time.Duration { return r.took[len(r.took)*p/100] }

func (r result) and(more result) result {
	return result{slices.Sorted(slices.Values(slices.Concat(r.took, more.took))), r.elapsed + more.elapsed, r.used + more.used}
}

// rounds are the turns that the floor and the product take: a machine is not equally fast
// all the time.
const rounds = 3

// seconds is how long one measurement of one server takes; CHATELAINE_BENCH_SECONDS says
// otherwise.
func seconds() float64 {
	if s, err := strconv.ParseFloat(os.Getenv("CHATELAINE_BENCH_SECONDS"), 64); err == nil {
		return s
	}
	return 1.5
}

// BenchmarkVault prints a table. A line's ratio is that of one run, in which the floor and
// the product took turns.
func BenchmarkVault(b *testing.B) {
	product, floor := start(b, "product", b.TempDir()), start(b, "floor", b.TempDir())
	floor.Token = product.Token // the same request, byte for byte
	product.settle(b)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\nready on an empty folder after %.0f ms, idle at %.0f MiB\n", product.Ready.Seconds()*1000, product.memory(b))
	fmt.Fprintln(table, "request\tconnections\treq/s\tp50 µs\tp99 µs\tserver µs\tfloor µs\t× floor\tat most\tMiB\t")
	for _, w := range works(product.greeting) {
		if w.path == listing {
			product.stop()
			product = filled(b, b.TempDir(), 1, filling)
			product.settle(b)
		}
		for _, conns := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/%d", strings.ReplaceAll(w.name, " ", "-"), conns), func(b *testing.B) {
				next := request(b, product, w.method, w.path+"?api-version=7.6", w.body)
				if w.path == listing {
					next = func() *http.Request { return page(b, product, 0, filling) }
				}
				var base, got result
				for range rounds {
					base = base.and(load(b, floor, conns, seconds()/rounds, request(b, floor, w.method, w.floor, w.body)))
					got = got.and(load(b, product, conns, seconds()/rounds, next))
				}
				ratio := got.cpu() / base.cpu()
				b.ReportMetric(got.perSecond(), "req/s")
				b.ReportMetric(got.cpu()*1e6, "server-µs/req")
				b.ReportMetric(ratio, "×floor")
				most := ""
				if w.most > 0 {
					most = fmt.Sprint(w.most)
				}
				fmt.Fprintf(table, "%s\t%d\t%.0f\t%d\t%d\t%.1f\t%.1f\t%.2f\t%s\t%.0f\t\n", w.name, conns, got.perSecond(),
					got.percentile(50).Microseconds(), got.percentile(99).Microseconds(), got.cpu()*1e6, base.cpu()*1e6, ratio, most, product.memory(b))
			})
		}
	}
	_ = table.Flush()
}

// BenchmarkMany compares get and list among a thousand secrets of ten vaults with the same
// among very many: CHATELAINE_BENCH_MANY=10000×100 makes a million in ten thousand vaults.
func BenchmarkMany(b *testing.B) {
	many := os.Getenv("CHATELAINE_BENCH_MANY")
	if many == "" {
		many = "100×1000"
	}
	var vaults, secrets int
	if _, err := fmt.Sscanf(many, "%d×%d", &vaults, &secrets); err != nil {
		b.Fatalf("CHATELAINE_BENCH_MANY=%s: want vaults×secrets", many)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\nvaults\tsecrets\tready ms\tidle MiB\topen µs\tget one µs\tget any µs\tlist 25 µs\tMiB\t")
	for _, size := range [][2]int{{10, 100}, {vaults, secrets}} {
		folder := b.TempDir()
		s := filled(b, folder, size[0], size[1])
		idle := s.memory(b)
		any := func() *http.Request {
			path := fmt.Sprintf("/secrets/s%06d?api-version=7.6", rand.IntN(size[1]))
			return in(request(b, s, http.MethodGet, path, "")(), rand.IntN(size[0]))
		}
		list := func() *http.Request { return page(b, s, rand.IntN(size[0]), size[1]) }
		one := func() *http.Request {
			return in(request(b, s, http.MethodGet, "/secrets/s000050?api-version=7.6", "")(), 5)
		}
		vault := atomic.Int64{}
		open := func() *http.Request {
			return in(request(b, s, http.MethodGet, "/secrets/s000000?api-version=7.6", "")(), int(vault.Add(1))%size[0])
		}
		gotOpen := load(b, s, 8, seconds(), open)
		for int(vault.Load()) < size[0] { // every vault is opened once
			load(b, s, 8, seconds(), open)
		}
		gotOne, gotAny, gotList := load(b, s, 8, seconds(), one), load(b, s, 8, seconds(), any), load(b, s, 8, seconds(), list)
		fmt.Fprintf(table, "%d\t%d\t%.0f\t%.0f\t%.0f\t%.1f\t%.1f\t%.1f\t%.0f\t\n", size[0], size[0]*size[1], s.Ready.Seconds()*1000, idle,
			gotOpen.cpu()*1e6, gotOne.cpu()*1e6, gotAny.cpu()*1e6, gotList.cpu()*1e6, s.memory(b))
		s.stop()
	}
	_ = table.Flush()
}

// in sends a request to another vault over the same connections: what a handshake costs,
// and a certificate for a new host, is not what is measured.
func in(r *http.Request, vault int) *http.Request {
	r.Host = strings.Replace(r.URL.Host, "default.", fmt.Sprintf("v%05d.", vault), 1)
	return r
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

// load sends requests over a number of connections for some seconds.
func load(b *testing.B, s server, conns int, most float64, next func() *http.Request) result {
	b.Helper()
	clients := make([]*http.Client, conns)
	for i := range clients {
		clients[i] = client()
		if err := send(clients[i], next()); err != nil { // opens the connection
			b.Fatal(err)
		}
		defer clients[i].CloseIdleConnections()
	}
	took := make([][]time.Duration, conns)
	errs := make([]error, conns)
	before, begun := s.cpu(b), time.Now()
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for t := begun; t.Sub(begun).Seconds() < most && errs[i] == nil; {
				errs[i] = send(c, next())
				now := time.Now()
				took[i], t = append(took[i], now.Sub(t)), now
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
	return result{took: slices.Sorted(slices.Values(slices.Concat(took...))), elapsed: elapsed.Seconds(), used: cpu}
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
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusCreated {
		return fmt.Errorf("%s %s: %s", r.Method, r.URL.Path, res.Status)
	}
	return nil
}

func skipToken(after string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"NextMarker":"` + after + `","TargetLocation":0}`))
}
