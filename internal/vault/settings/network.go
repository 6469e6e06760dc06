package settings

import (
	"net/netip"
	"slices"
	"strings"

	"chatelaine.dev/internal/fault"
)

// Bounds of network rules, Azure's.
const (
	maxAddresses = 1000
	maxNetworks  = 200
)

// What a rule says of an address.
const (
	AllowAction = "Allow"
	DenyAction  = "Deny"
)

// Network says which addresses a vault answers. The zero value is all.
type Network struct {
	// Private shuts public addresses out, whatever the rules say. Loopback, RFC 1918, link-local
	// and unique local addresses stay: here they are what private endpoints are in Azure.
	Private bool `json:"private,omitempty"`
	// DefaultAction is what happens to an address that no rule lets in; empty is Allow.
	DefaultAction string `json:"defaultAction,omitempty"`
	// Bypass is AzureServices or None. It is kept and returned: the product itself is the one
	// trusted service there is, and always passes.
	Bypass string `json:"bypass,omitempty"`
	// IPRules are addresses and networks, IPv4 or IPv6.
	IPRules []string `json:"ipRules,omitempty"`
	// VirtualNetworkRules are kept and returned; they name networks of Azure, so no address
	// is in one.
	VirtualNetworkRules []VirtualNetwork `json:"virtualNetworkRules,omitempty"`
}

// VirtualNetwork names a subnet of Azure.
type VirtualNetwork struct {
	ID            string `json:"id"`
	IgnoreMissing bool   `json:"ignoreMissing,omitempty"`
}

// Check returns the rules in the form that is kept: prefixes masked, each once.
func (n Network) Check() (Network, error) {
	if len(n.IPRules) > maxAddresses || len(n.VirtualNetworkRules) > maxNetworks {
		return n, fault.New(fault.Invalid, "BadRequest", "A vault has at most %d ipRules and %d virtualNetworkRules.", maxAddresses, maxNetworks)
	}
	var err error
	if n.DefaultAction, err = oneOf("defaultAction", n.DefaultAction, AllowAction, DenyAction); err != nil {
		return n, err
	}
	if n.Bypass, err = oneOf("bypass", n.Bypass, "AzureServices", "None"); err != nil {
		return n, err
	}
	var rules []string
	for _, text := range n.IPRules {
		p, err := prefix(text)
		if err != nil {
			return n, err
		}
		if s := p.String(); !slices.Contains(rules, s) {
			rules = append(rules, s)
		}
	}
	n.IPRules = rules
	for _, v := range n.VirtualNetworkRules {
		if v.ID == "" || len(v.ID) > 1024 {
			return n, fault.New(fault.Invalid, "BadRequest", "A virtual network rule has the id of a subnet, of 1 to 1024 characters.")
		}
	}
	return n, nil
}

// NetworkChange changes network rules; nil fields stay as they are.
type NetworkChange struct {
	Private             *bool
	DefaultAction       *string
	Bypass              *string
	IPRules             *[]string // replaces all
	AddIPRules          []string
	RemoveIPRules       []string
	VirtualNetworkRules *[]VirtualNetwork
}

// Apply returns n with the change, in the form that is kept.
func (ch NetworkChange) Apply(n Network) (Network, error) {
	if ch.Private != nil {
		n.Private = *ch.Private
	}
	if ch.DefaultAction != nil {
		n.DefaultAction = *ch.DefaultAction
	}
	if ch.Bypass != nil {
		n.Bypass = *ch.Bypass
	}
	if ch.IPRules != nil {
		n.IPRules = *ch.IPRules
	}
	if ch.VirtualNetworkRules != nil {
		n.VirtualNetworkRules = *ch.VirtualNetworkRules
	}
	n.IPRules = slices.Concat(n.IPRules, ch.AddIPRules)
	n, err := n.Check()
	if err != nil {
		return n, err
	}
	gone, err := Network{IPRules: ch.RemoveIPRules}.Check()
	n.IPRules = slices.DeleteFunc(n.IPRules, func(r string) bool { return slices.Contains(gone.IPRules, r) })
	return n, err
}

func oneOf(name, got string, want ...string) (string, error) {
	if got == "" {
		return "", nil
	}
	for _, w := range want {
		if strings.EqualFold(w, got) {
			return w, nil
		}
	}
	return "", fault.New(fault.Invalid, "BadRequest", "%s must be %s, not %.40q.", name, strings.Join(want, " or "), got)
}

// prefix reads an address or a network. An IPv4 address written as IPv6 is the IPv4 one.
func prefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return p, fault.New(fault.Invalid, "BadRequest", "%.60q is neither an IP address nor a network such as 10.0.0.0/8 or 2001:db8::/32.", text)
	}
	return p.Masked(), nil
}

// Filter is Network made ready to be asked for every request. It never changes.
type Filter struct {
	open     bool // nothing is shut out
	private  bool
	allow    bool // what no rule names
	prefixes map[netip.Prefix]bool
	lengths  []int // of the prefixes, each once
}

// Compile makes a Filter of what Check returned.
func (n Network) Compile() *Filter {
	f := &Filter{private: n.Private, allow: n.DefaultAction != DenyAction, prefixes: map[netip.Prefix]bool{}}
	f.open = f.allow && !f.private
	for _, text := range n.IPRules {
		p, err := prefix(text)
		if err != nil {
			continue // Check has refused it
		}
		f.prefixes[p] = true
		if !slices.Contains(f.lengths, p.Bits()) {
			f.lengths = append(f.lengths, p.Bits())
		}
	}
	return f
}

// Admits reports whether a client's address may come in. What is no address may not,
// where anything is shut out.
func (f *Filter) Admits(address string) bool {
	if f.open {
		return true
	}
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	if f.private && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
		return false
	}
	if f.allow {
		return true
	}
	for _, bits := range f.lengths {
		if p, err := a.Prefix(bits); err == nil && f.prefixes[p] {
			return true
		}
	}
	return false
}
