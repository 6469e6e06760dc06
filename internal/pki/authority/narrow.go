package authority

import (
	"crypto/x509"
	"net"
	"slices"
	"strings"

	"chatelaine.dev/internal/fault"
)

// narrow gives a further certificate of an authority the limits that its own one has where
// it has none, adds what the own one excludes, and refuses it where it would be wider.
func narrow(t, own *x509.Certificate) error {
	if own.MaxPathLen > 0 || own.MaxPathLenZero {
		if t.MaxPathLen < 0 {
			t.MaxPathLen, t.MaxPathLenZero = own.MaxPathLen, own.MaxPathLenZero
		}
		if t.MaxPathLen > own.MaxPathLen {
			return wider("a path length of at most %d", own.MaxPathLen)
		}
	}
	t.ExcludedDNSDomains = union(t.ExcludedDNSDomains, own.ExcludedDNSDomains)
	t.ExcludedEmailAddresses = union(t.ExcludedEmailAddresses, own.ExcludedEmailAddresses)
	t.ExcludedURIDomains = union(t.ExcludedURIDomains, own.ExcludedURIDomains)
	t.ExcludedIPRanges = append(t.ExcludedIPRanges, own.ExcludedIPRanges...)
	for _, k := range []struct {
		names  *[]string
		has    []string
		within func(base, above string) bool
	}{
		{&t.PermittedDNSDomains, own.PermittedDNSDomains, domainWithin},
		{&t.PermittedEmailAddresses, own.PermittedEmailAddresses, mailWithin},
		{&t.PermittedURIDomains, own.PermittedURIDomains, hostWithin},
	} {
		if len(*k.names) == 0 {
			*k.names = k.has
		}
		for _, n := range *k.names {
			if len(k.has) > 0 && !slices.ContainsFunc(k.has, func(above string) bool { return k.within(n, above) }) {
				return wider("names within %.20q", k.has)
			}
		}
	}
	if len(t.PermittedIPRanges) == 0 {
		t.PermittedIPRanges = own.PermittedIPRanges
	}
	for _, n := range t.PermittedIPRanges {
		if len(own.PermittedIPRanges) > 0 && !slices.ContainsFunc(own.PermittedIPRanges, func(above *net.IPNet) bool { return networkWithin(n, above) }) {
			return wider("addresses within %v", own.PermittedIPRanges)
		}
	}
	return nil
}

func wider(format string, has any) error {
	return fault.New(fault.Invalid, "BadConstraint", "a further certificate cannot be wider than the authority's own, which has "+format, has)
}

func union(a, b []string) []string {
	for _, n := range b {
		if !slices.Contains(a, n) {
			a = append(a, n)
		}
	}
	return a
}

// domainWithin is the rule of DNS names: a base stands for itself and all below.
func domainWithin(base, above string) bool {
	return base == above || strings.HasSuffix(base, "."+above)
}

// hostWithin is the rule of URIs: only a base with a dot first stands for what is below.
func hostWithin(base, above string) bool {
	return base == above || strings.HasPrefix(above, ".") && strings.HasSuffix(base, above)
}

// mailWithin is the same for a mailbox, too.
func mailWithin(base, above string) bool {
	if base == above {
		return true
	}
	if at := strings.LastIndexByte(base, '@'); at >= 0 {
		base = base[at+1:]
	}
	return hostWithin(base, above)
}

func networkWithin(n, above *net.IPNet) bool {
	ones, size := n.Mask.Size()
	least, sizeAbove := above.Mask.Size()
	return size == sizeAbove && ones >= least && above.Contains(n.IP)
}
