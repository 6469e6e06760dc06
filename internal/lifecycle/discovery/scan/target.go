package scan

import (
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"chatelaine.dev/internal/fault"
)

// DefaultPorts are where TLS is spoken from the first byte.
const DefaultPorts = "443,8443,9443,4443,10443,465,636,853,990,993,995,3269,5061,5986,6443,8883"

// Limits on a plan.
const (
	MaxProbes  = 1 << 21 // addresses × ports: a /16 with 28 ports
	maxTargets = 10000   // lines
	maxPorts   = 1024    // of one target
)

// PlanOptions say what to scan.
type PlanOptions struct {
	// Targets are names, addresses, networks (10.0.0.0/24) or ranges (10.0.0.1-10.0.0.9), each
	// with its own ports if it wants: web.example:443,8443 or [2001:db8::/120]:9000-9010.
	Targets []string
	// Ports are those of targets without their own: 443,9000-9010. Empty: DefaultPorts.
	Ports string
	// Exclude are names, addresses and networks that are left out.
	Exclude []string
}

// Plan is every probe of a scan, in an order that never changes, so that a scan which was
// interrupted can go on.
type Plan struct {
	blocks   []block
	starts   []int // index of the first probe of each block
	total    int
	guard    *guard
	excluded []netip.Prefix
	names    []string
}

// block is one target: a name, or count addresses from first on.
type block struct {
	name     string
	first    netip.Addr
	count    int
	ports    []uint16
	loopback bool // the user named this machine
}

// Target is one thing to probe: a name or an address, and a port.
type Target struct {
	Name     string     // empty when an address was given
	Addr     netip.Addr // invalid when a name was given
	Port     uint16
	loopback bool
	skip     bool // excluded, or forbidden within a network
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, "InvalidTarget", format, args...)
}

// NewPlan reads the targets. A target that may never be scanned is an error here; within
// a larger network such addresses are passed over.
func NewPlan(o PlanOptions) (*Plan, error) {
	if len(o.Targets) == 0 {
		return nil, invalid("there is nothing to scan; name at least one host, address or network")
	}
	if len(o.Targets) > maxTargets || len(o.Exclude) > maxTargets {
		return nil, invalid("%d targets are too many; use networks, or several scans of at most %d", max(len(o.Targets), len(o.Exclude)), maxTargets)
	}
	if o.Ports == "" {
		o.Ports = DefaultPorts
	}
	ports, err := parsePorts(o.Ports)
	if err != nil {
		return nil, err
	}
	p := &Plan{guard: newGuard()}
	for _, t := range o.Targets {
		b, err := parseTarget(strings.TrimSpace(t), ports)
		if err != nil {
			return nil, err
		}
		if b.name == "" && b.count == 1 {
			if err := p.guard.permit(b.first, b.loopback); err != nil {
				return nil, err
			}
		}
		p.blocks = append(p.blocks, b)
		p.starts = append(p.starts, p.total)
		p.total += b.count * len(b.ports)
		if p.total > MaxProbes {
			return nil, invalid("more than %d probes at %q; scan fewer addresses or ports at a time", MaxProbes, t)
		}
	}
	for _, e := range o.Exclude {
		b, err := parseTarget(strings.TrimSpace(e), ports[:1])
		if err != nil {
			return nil, fmt.Errorf("exclude: %w", err)
		}
		if b.name != "" {
			p.names = append(p.names, b.name)
			continue
		}
		p.excluded = append(p.excluded, prefixes(b.first, b.count)...)
	}
	return p, nil
}

// Total is the number of probes.
func (p *Plan) Total() int { return p.total }

// At returns a probe by its index. All addresses of a target come before its next port,
// so that no host is met twice in a row.
func (p *Plan) At(i int) Target {
	n := sort.SearchInts(p.starts, i+1) - 1
	b := p.blocks[n]
	i -= p.starts[n]
	t := Target{Name: b.name, Port: b.ports[i/b.count], loopback: b.loopback}
	if b.name != "" {
		t.skip = slices.Contains(p.names, b.name)
		return t
	}
	t.Addr = add(b.first, i%b.count)
	t.skip = p.excludes(t.Addr) || p.guard.permit(t.Addr, t.loopback) != nil
	return t
}

func (p *Plan) excludes(a netip.Addr) bool {
	return slices.ContainsFunc(p.excluded, func(n netip.Prefix) bool { return n.Contains(a.Unmap()) })
}

// parseTarget reads one target.
func parseTarget(s string, ports []uint16) (block, error) {
	if len(s) > 512 || s == "" {
		return block{}, invalid("a target is a name, an address or a network, not %.80q", s)
	}
	url := false
	if _, rest, ok := strings.Cut(s, "://"); ok { // people paste them
		s, _, _ = strings.Cut(rest, "/")
		url = true
	}
	what, list := splitPorts(s)
	if url && list == "" {
		list = "443"
	}
	b := block{ports: ports}
	if list != "" {
		var err error
		if b.ports, err = parsePorts(list); err != nil {
			return b, fmt.Errorf("target %.80q: %w", s, err)
		}
	}
	var err error
	switch from, to, isRange := strings.Cut(what, "-"); {
	case strings.Contains(what, "/"):
		b.first, b.count, err = parseNetwork(what)
	case isRange && isAddress(from) && isAddress(to):
		b.first, b.count, err = parseRange(from, to)
	case isAddress(what):
		b.first, b.count = netip.MustParseAddr(what).Unmap(), 1
		if b.first.Zone() != "" {
			err = invalid("%q has a zone; link-local addresses are not scanned", what)
		}
	default:
		b.count = 1
		b.name, err = parseName(what)
	}
	b.loopback = b.name == "localhost" || strings.HasSuffix(b.name, ".localhost") ||
		b.first.IsValid() && b.first.IsLoopback() && add(b.first, b.count-1).IsLoopback()
	return b, err
}

// splitPorts separates host:ports. Brackets keep an IPv6 address from its ports.
func splitPorts(s string) (what, ports string) {
	if strings.HasPrefix(s, "[") {
		if inner, rest, ok := strings.Cut(s[1:], "]"); ok {
			return inner, strings.TrimPrefix(rest, ":")
		}
	}
	if strings.Count(s, ":") == 1 {
		what, ports, _ = strings.Cut(s, ":")
		return what, ports
	}
	return s, ""
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func parseNetwork(s string) (netip.Addr, int, error) {
	n, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Addr{}, 0, invalid("%.80q is no network such as 192.0.2.0/24 or 2001:db8::/120", s)
	}
	n = n.Masked()
	if wide := n.Addr().BitLen() - n.Bits(); wide > 21 {
		return netip.Addr{}, 0, invalid("%s has more than %d addresses; scan a part of it", n, MaxProbes)
	}
	return n.Addr(), 1 << (n.Addr().BitLen() - n.Bits()), nil
}

func parseRange(from, to string) (netip.Addr, int, error) {
	a, b := netip.MustParseAddr(from).Unmap(), netip.MustParseAddr(to).Unmap()
	if a.BitLen() != b.BitLen() || b.Less(a) || a.Zone() != "" || b.Zone() != "" {
		return a, 0, invalid("the range %s-%s does not go from a lower to a higher address", from, to)
	}
	n := new(big.Int).Sub(number(b), number(a))
	if n.Cmp(big.NewInt(MaxProbes)) >= 0 {
		return a, 0, invalid("the range %s-%s has more than %d addresses; scan a part of it", from, to, MaxProbes)
	}
	return a, int(n.Int64()) + 1, nil
}

func number(a netip.Addr) *big.Int { return new(big.Int).SetBytes(a.AsSlice()) }

// add is the n-th address after a.
func add(a netip.Addr, n int) netip.Addr {
	b := a.As16()
	for i := 15; i >= 0 && n > 0; i-- {
		n += int(b[i])
		b[i] = byte(n)
		n >>= 8
	}
	if a.Is4() {
		return netip.AddrFrom16(b).Unmap()
	}
	return netip.AddrFrom16(b)
}

// prefixes are the networks that make up count addresses from first on.
func prefixes(first netip.Addr, count int) []netip.Prefix {
	var all []netip.Prefix
	for count > 0 {
		bits := first.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(first, bits-1)
			if wider.Masked().Addr() != first || 1<<(first.BitLen()-bits+1) > count {
				break
			}
			bits--
		}
		all = append(all, netip.PrefixFrom(first, bits))
		n := 1 << (first.BitLen() - bits)
		first, count = add(first, n), count-n
	}
	return all
}

// parseName checks a DNS name and brings it into its ASCII form. Names whose last label
// is a number are refused: some resolvers take 127.1 and 0x7f000001 for addresses.
func parseName(s string) (string, error) {
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(s, "."))
	if err != nil { // names in the field contain underscores
		name = strings.ToLower(strings.TrimSuffix(s, "."))
	}
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", invalid("%.80q is no name, address or network", s)
		}
	}
	last := labels[len(labels)-1]
	if _, err := strconv.ParseUint(last, 0, 64); err == nil || len(name) > 253 || last[0] >= '0' && last[0] <= '9' {
		return "", invalid("%.80q is no name; write an address as four decimal numbers", s)
	}
	return name, nil
}

// parsePorts reads 443,9000-9010: each port once, in the order given.
func parsePorts(s string) ([]uint16, error) {
	var ports []uint16
	seen := map[uint16]bool{}
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		low, err1 := strconv.ParseUint(from, 10, 16)
		high, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || low == 0 || high < low {
			return nil, invalid("ports are numbers from 1 to 65535 such as 443,9000-9010, not %.80q", s)
		}
		for p := low; p <= high; p++ {
			if !seen[uint16(p)] {
				seen[uint16(p)] = true
				ports = append(ports, uint16(p))
			}
			if len(ports) > maxPorts {
				return nil, invalid("more than %d ports for one target", maxPorts)
			}
		}
	}
	return ports, nil
}
