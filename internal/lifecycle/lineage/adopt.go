package lineage

import (
	"context"
	"net/netip"
	"strconv"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/pki/profile"
)

// Adoption makes a discovered certificate the first of a lineage. What Wanted leaves
// empty is taken from the certificate: name, names, key.
type Adoption struct {
	SHA256 string `json:"sha256"`
	Wanted
	Targets []Target `json:"targets"`
}

// Adopt takes a certificate of the inventory under management. Where a single target
// names no endpoints, those at which the certificate is seen now are taken. fault.Conflict
// when it belongs to a lineage already.
func (s *Service) Adopt(ctx context.Context, c access.Caller, a Adoption) (Lineage, error) {
	for _, action := range []access.Action{Write, adoptCertificate} {
		if err := s.Guard.Authorize(ctx, c, action, access.Root, "LineageAdopt"); err != nil {
			return Lineage{}, err
		}
	}
	found, err := s.Inventory.Get(ctx, c, a.SHA256)
	if err != nil {
		return Lineage{}, err
	}
	// What "openssl req -x509" makes calls itself a CA, but it is a server that shows it.
	if found.NotAfter.IsZero() || found.CA && len(endpointsOf(found.Installations)) == 0 {
		return Lineage{}, fault.New(fault.Invalid, "NotAdoptable", "a certificate of an authority, or one whose dates are unreadable, cannot be adopted")
	}
	l := s.begin(a.Wanted, a.Targets)
	l.take(found)
	if err := s.check(ctx, c, l, "LineageAdopt"); err != nil {
		return Lineage{}, err
	}
	l.Current = Certificate{SHA256: found.SHA256, NotBefore: found.NotBefore, NotAfter: found.NotAfter}
	l.reschedule()
	err = s.Transact(ctx, func(ctx context.Context) error {
		now, err := s.Inventory.Get(ctx, c, found.SHA256)
		if err != nil {
			return err
		}
		if now.Lineage != "" {
			return fault.New(fault.Conflict, "AlreadyAdopted", "the certificate belongs to lineage %s already", now.Lineage)
		}
		if err := s.insert(ctx, l); err != nil {
			return err
		}
		if err := s.Store.AddMember(ctx, l.ID, Member{Certificate: l.Current, Since: s.Now()}); err != nil {
			return err
		}
		if err := s.Inventory.SetLineage(ctx, l.Current.SHA256, l.ID, l.Owner); err != nil {
			return err
		}
		return s.tell(ctx, c.Record("LineageAdopt", Path(l.ID)), "Chatelaine.LineageAdopted", l)
	})
	return l, err
}

// take fills in what the adoption leaves to the certificate.
func (l *Lineage) take(d inventory.Detail) {
	if l.Names.Count() == 0 && l.CommonName == "" {
		l.Names = namesOf(d.Certificate)
	}
	if l.Name == "" {
		l.Name = d.Name
	}
	if k := keyOf(d.Key); k != "" && l.Key == "" {
		l.Key = k
	}
	l.complete()
	if len(l.Targets) == 1 && len(l.Targets[0].Endpoints) == 0 {
		l.Targets[0].Endpoints = endpointsOf(d.Installations)
	}
}

// keyOf is the type of the certificate's key, so that its clients meet no other, or
// nothing when it is too weak or of a type that we do not make.
func keyOf(k inventory.Key) string {
	w := Wanted{Key: k.Parameters}
	if k.Algorithm == "RSA" {
		w.Key = "RSA " + strconv.Itoa(k.Size)
	}
	if _, err := w.KeySpec(); err != nil {
		return ""
	}
	return w.Key
}

// namesOf are the certificate's names. One without any, as was common once, is for its
// common name, if that is a host.
func namesOf(c *inventory.Certificate) profile.Names {
	var n profile.Names
	for _, name := range c.Names {
		switch name.Kind {
		case inventory.DNS:
			n.DNS = append(n.DNS, name.Value)
		case inventory.IP:
			n.IP = append(n.IP, name.Value)
		case inventory.Email:
			n.Email = append(n.Email, name.Value)
		case inventory.URI:
			n.URI = append(n.URI, name.Value)
		}
	}
	if cn := c.CommonName(); n.Count() == 0 && cn != "" {
		if _, err := netip.ParseAddr(cn); err == nil {
			n.IP = []string{cn}
		} else if host := strings.TrimPrefix(cn, "*."); hostForm.MatchString(host) {
			n.DNS = []string{cn}
		}
	}
	return n
}

func endpointsOf(installations []inventory.Installation) []Endpoint {
	var es []Endpoint
	for _, i := range installations {
		if i.Source == inventory.Network && i.Current && i.State == inventory.Present && len(es) < maxEndpoints {
			es = append(es, Endpoint{Host: i.Host, IP: i.IP, Port: i.Port, SNI: i.SNI})
		}
	}
	return es
}
