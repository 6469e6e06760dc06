package inventorydb_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/inventory/filter"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

// matches is the language said in Go, one certificate at a time.
func matches(n filter.Node, d inventory.Detail) bool {
	switch n := n.(type) {
	case filter.And:
		return !slices.ContainsFunc(n, func(n filter.Node) bool { return !matches(n, d) })
	case filter.Or:
		return slices.ContainsFunc(n, func(n filter.Node) bool { return matches(n, d) })
	case filter.Not:
		return !matches(n.Node, d)
	case filter.Cmp:
		return compares(n, d)
	}
	return true
}

func compares(c filter.Cmp, d inventory.Detail) bool {
	text := func(values ...string) bool {
		return slices.ContainsFunc(values, func(v string) bool {
			v = strings.ToLower(v)
			return c.Op == filter.Eq && v == c.Text || c.Op == filter.Contains && strings.Contains(v, c.Text)
		})
	}
	number := func(values ...int64) bool {
		return slices.ContainsFunc(values, func(v int64) bool {
			switch c.Op {
			case filter.Lt:
				return v < c.High
			case filter.Ge:
				return v >= c.Low
			}
			return v >= c.Low && v < c.High
		})
	}
	instant := func(t time.Time) bool { return !t.IsZero() && number(t.UnixMicro()) }
	var sources, campaigns, hosts, addresses, states, rules, names []string
	var ports []int64
	for _, i := range d.Installations {
		states = append(states, string(i.State))
		if i.Current {
			sources, campaigns, hosts = append(sources, i.Source), append(campaigns, i.Campaign), append(hosts, i.Host)
			addresses, ports = append(addresses, i.IP), append(ports, int64(i.Port))
		}
	}
	for _, f := range d.Findings {
		rules = append(rules, f.Rule)
	}
	for _, n := range d.Names {
		names = append(names, n.Value)
	}
	switch c.Field {
	case filter.Name:
		return text(d.Name)
	case filter.Subject:
		return text(d.Subject)
	case filter.Issuer:
		return text(d.Issuer)
	case filter.SAN:
		return text(names...)
	case filter.Serial:
		return text(d.Serial)
	case filter.SHA256:
		return text(d.SHA256)
	case filter.SPKI:
		return text(d.SPKI)
	case filter.Key:
		return text(d.Key.Algorithm)
	case filter.Curve:
		return text(d.Key.Parameters)
	case filter.KeySize:
		return d.Key.Size > 0 && number(int64(d.Key.Size))
	case filter.Signature:
		return text(d.Signature.Algorithm)
	case filter.KeyUsage:
		return text(d.ExtKeyUsage...)
	case filter.Expires:
		return instant(d.NotAfter)
	case filter.Issued:
		return instant(d.NotBefore)
	case filter.Lifetime:
		return d.Lifetime() > 0 && number(int64(d.Lifetime().Seconds()))
	case filter.Grade:
		return number(int64(d.Score))
	case filter.Finding:
		return text(rules...)
	case filter.Revoked:
		return c.Bool == !d.RevokedAt.IsZero()
	case filter.SelfSigned:
		return c.Bool == d.SelfSigned
	case filter.Wildcard:
		return c.Bool == d.Wildcard
	case filter.CA:
		return c.Bool == d.CA
	case filter.Trust:
		return text(string(d.Trust))
	case filter.Parser:
		return text(string(d.Parser))
	case filter.Source:
		return text(sources...)
	case filter.Campaign:
		return text(campaigns...)
	case filter.Host:
		return text(hosts...)
	case filter.IP:
		return text(addresses...)
	case filter.Port:
		return number(ports...)
	case filter.State:
		return text(states...)
	case filter.Status:
		return text(string(d.Status))
	case filter.Stage:
		return text(string(d.Stage))
	case filter.Owner:
		return text(d.Owner)
	case filter.Lineage:
		return text(d.Lineage)
	case filter.FirstSeen:
		return instant(d.FirstSeen)
	case filter.LastSeen:
		return instant(d.LastSeen)
	}
	panic("no such field: " + c.Field)
}

// populate fills the inventory with odd certificates in random places and conditions.
func populate(t *testing.T, s *shop) []inventory.Detail {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	ders := zlintCertificates(t, 12)
	for i, end := range []time.Duration{-day, 0, time.Second, 20 * day, 40 * day, 400 * day} {
		ders = append(ders, make1(t, template{name: fmt.Sprintf("Own%d.Example", i), to: start.Add(end), names: []string{"*.own.example", "100%_\\.example"}}).der)
	}
	ders = append(ders, []byte("garbage"), make1(t, template{name: "later.example", from: start.Add(day)}).der,
		make1(t, template{name: "now.example", from: start.Add(-60 * day), to: start.Add(30 * day)}).der) // expiring from this moment on
	var before inventory.Place
	for i, der := range ders {
		host := fmt.Sprintf("Web%d.example", random.IntN(40))
		p := inventory.Place{Source: inventory.Network, Host: host, IP: fmt.Sprintf("10.0.0.%d", random.IntN(9)), Port: []int{443, 8443, 993}[random.IntN(3)], SNI: host}
		o := seen(p, start.Add(time.Duration(i-100)*day), der)
		if random.IntN(5) == 0 {
			o = inventory.Observation{Place: inventory.Place{Source: "Vault-A", Path: "/c/" + host}, State: inventory.Present, DER: der, At: o.At}
		}
		if i%7 == 0 {
			o.Campaign = "nightly"
		}
		if i%4 == 1 {
			o.Place = before // takes the place of the one before it
		}
		before = o.Place
		s.record(t, o)
		if i%9 == 0 {
			s.record(t, inventory.Observation{Place: o.Place, State: inventory.Unreachable, At: o.At.Add(time.Hour)})
		}
		h := inventory.Parse(der).SHA256
		if i%6 == 0 {
			if err := s.SetLineage(t.Context(), h, []string{"", "Lineage-7"}[random.IntN(2)], "Team Ärger"); err != nil {
				t.Fatal(err)
			}
		}
		if i%11 == 0 && i < len(ders)-3 { // the last ones are for their dates
			if err := s.MarkRevoked(t.Context(), h, start, "superseded"); err != nil {
				t.Fatal(err)
			}
		}
	}
	var all []inventory.Detail
	o := inventory.ListOptions{Limit: 500}
	p, err := s.List(t.Context(), caller, o)
	if err != nil || p.Next != "" {
		t.Fatalf("list everything: %v", err)
	}
	for _, c := range p.Certificates {
		d, err := s.Get(t.Context(), caller, c.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// filters generates filters whose values mostly occur in the population.
func filters(all []inventory.Detail) *rapid.Generator[string] {
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	part := func(t *rapid.T, s string) string {
		rs := []rune(s)
		if len(rs) == 0 {
			return "x"
		}
		from := rapid.IntRange(0, len(rs)-1).Draw(t, "from")
		return string(rs[from:rapid.IntRange(from+1, len(rs)).Draw(t, "to")])
	}
	condition := rapid.Custom(func(t *rapid.T) string {
		d := rapid.SampledFrom(all).Draw(t, "certificate")
		f := rapid.SampledFrom(filter.Fields()).Draw(t, "field")
		values := map[filter.Field]string{
			filter.Name: d.Name, filter.Subject: d.Subject, filter.Issuer: d.Issuer, filter.Serial: d.Serial, filter.SHA256: d.SHA256,
			filter.SPKI: d.SPKI, filter.Key: d.Key.Algorithm, filter.Curve: d.Key.Parameters, filter.Signature: d.Signature.Algorithm,
			filter.Owner: "team ärger", filter.Lineage: "lineage-7", filter.KeyUsage: "serverAuth", filter.Finding: "weak-key",
			filter.Source: "vault-a", filter.Campaign: "nightly", filter.Host: "web7.example", filter.IP: "10.0.0.3", filter.SAN: "%_\\",
		}
		if len(d.Names) > 0 && rapid.Bool().Draw(t, "its name") {
			values[filter.SAN] = d.Names[0].Value
		}
		numbers := map[filter.Field][]string{
			filter.KeySize: {fmt.Sprint(d.Key.Size), "2048"}, filter.Grade: {fmt.Sprint(d.Score), "A", "B", "C", "D", "F"}, filter.Port: {"443", "8443", "1"},
			filter.Lifetime:  {fmt.Sprintf("%ds", int(d.Lifetime().Seconds())), "398d", "1y"},
			filter.Expires:   {quote(d.NotAfter.Format(time.RFC3339)), d.NotAfter.Format(time.DateOnly), "30d", "-1y", "now"},
			filter.Issued:    {quote(d.NotBefore.Format(time.RFC3339)), d.NotBefore.Format(time.DateOnly), "-2w"},
			filter.FirstSeen: {quote(d.FirstSeen.Format(time.RFC3339)), "-30d"}, filter.LastSeen: {d.LastSeen.Format(time.DateOnly), "now"},
		}
		switch v, isText := values[f.Field]; {
		case isText && v != "" && rapid.Bool().Draw(t, "contains"):
			if p := part(t, v); f.Field != filter.Serial && f.Field != filter.SHA256 && f.Field != filter.SPKI || strings.Trim(p, "-") != "" {
				return string(f.Field) + " ~ " + quote(p)
			}
			return "ca"
		case isText && (v != "" || f.Field == filter.Owner || f.Field == filter.Name):
			return string(f.Field) + rapid.SampledFrom([]string{" = ", " != "}).Draw(t, "op") + quote(v)
		case isText:
			return "wildcard"
		case len(f.Options) > 0:
			return string(f.Field) + rapid.SampledFrom([]string{"=", "!="}).Draw(t, "op") + rapid.SampledFrom(f.Options).Draw(t, "option")
		case len(numbers[f.Field]) > 0:
			return string(f.Field) + rapid.SampledFrom([]string{"=", "!=", "<", "<=", ">", ">="}).Draw(t, "op") + rapid.SampledFrom(numbers[f.Field]).Draw(t, "value")
		}
		return string(f.Field) + rapid.SampledFrom([]string{"", " = true", " = false", " != true"}).Draw(t, "op")
	})
	var expression func(depth int) *rapid.Generator[string]
	expression = func(depth int) *rapid.Generator[string] {
		if depth == 0 {
			return condition
		}
		inner := expression(depth - 1)
		return rapid.Custom(func(t *rapid.T) string {
			switch rapid.IntRange(0, 4).Draw(t, "shape") {
			case 0:
				return inner.Draw(t, "a") + " and " + inner.Draw(t, "b")
			case 1:
				return inner.Draw(t, "a") + " or " + inner.Draw(t, "b")
			case 2:
				return "not (" + inner.Draw(t, "a") + ")"
			case 3:
				return "(" + inner.Draw(t, "a") + " or " + inner.Draw(t, "b") + ") and " + inner.Draw(t, "c")
			}
			return inner.Draw(t, "a")
		})
	}
	return expression(2)
}

func TestFilterInTheDatabaseIsTheFilterInMemory(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShop(t, db)
		all := populate(t, s)
		ctx, generator := context.Background(), filters(all)
		between := 0

		check := func(text string) error {
			n, err := filter.Parse(text, start)
			if err != nil {
				return err
			}
			var want, got []string
			for _, d := range all {
				if matches(n, d) {
					want = append(want, d.SHA256)
				}
			}
			page, err := s.List(ctx, caller, inventory.ListOptions{Filter: text, Limit: 500})
			if err != nil {
				return err
			}
			count, err := s.Count(ctx, caller, text)
			if err != nil {
				return err
			}
			for _, c := range page.Certificates {
				got = append(got, c.SHA256)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) || count != int64(len(want)) {
				return fmt.Errorf("list %d, count %d, in memory %d", len(got), count, len(want))
			}
			if len(want) > 0 && len(want) < len(all) {
				between++
			}
			return nil
		}

		for _, f := range filter.Fields() {
			for _, o := range f.Options {
				if err := check(string(f.Field) + " = " + o); err != nil {
					t.Errorf("%s = %s: %v", f.Field, o, err)
				}
			}
		}
		rapid.Check(t, func(rt *rapid.T) {
			text := generator.Draw(rt, "filter")
			if err := check(text); err != nil {
				rt.Fatalf("%s: %v", text, err)
			}
		})

		if between < 30 {
			t.Errorf("only %d filters separate some certificates from others; the test says little", between)
		}
	})
}

func TestAFilterIsNeverSQL(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := newShop(t, db)
		s.record(t, seen(at("a.example"), start, make1(t, template{name: "a.example"}).der))

		for _, evil := range []string{`' OR 1=1 --`, `"; DROP TABLE inventory_names; --`, `%`, `_`, `\`, `\u0000`, `$1`, `a' OR 'a'='a`} {
			for _, field := range []string{"name", "san", "host", "finding", "owner", "source"} {
				for _, op := range []string{"=", "~"} {
					text := field + op + `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(evil) + `"`
					n, err := s.Count(t.Context(), caller, text)
					if err != nil || n != 0 {
						t.Errorf("%q matches %d, %v", text, n, err)
					}
				}
			}
		}
		if n := s.count(t, "name = a.example"); n != 1 {
			t.Errorf("%d certificates left", n)
		}
	})
}
