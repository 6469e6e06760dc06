package profile

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"time"

	"chatelaine.dev/internal/fault"
)

// Ask is what somebody wants certified.
type Ask struct {
	PublicKey  crypto.PublicKey
	CommonName string
	Subject    Subject // attributes that the profile has no rule for are passed over
	Names      Names
	Validity   time.Duration // 0: the profile's default
	Now        time.Time
}

// Plan is what the profile makes of it: all that a certificate says about its subject.
type Plan struct {
	CommonName       string
	Subject          Subject
	Names            Names
	NotBefore        time.Time // whole seconds, UTC
	NotAfter         time.Time
	KeyUsage         x509.KeyUsage
	ExtendedKeyUsage []string // object identifiers, dotted
}

// Plan checks a request against the profile. limit is the last moment that the issuing
// authority can vouch for: an explicit validity beyond it is refused, the default is cut.
// Errors are fault.Invalid.
func (p Profile) Plan(a Ask, limit time.Time) (Plan, error) {
	if err := checkKey(p, a); err != nil {
		return Plan{}, err
	}
	var plan Plan
	var err error
	if plan.Names, err = p.Names.decide(a.Names); err != nil {
		return Plan{}, err
	}
	if plan.CommonName, err = p.Names.commonName(a.CommonName, plan.Names); err != nil {
		return Plan{}, err
	}
	if plan.Subject, err = p.Subject.decide(a.Subject); err != nil {
		return Plan{}, err
	}
	rules := p.Validity
	if l, ok := p.limit(a.Now); ok && l.Max < rules.Max {
		if time.Duration(l.Max) < a.Validity {
			return Plan{}, fault.New(fault.Invalid, "ValidityNotAllowed", "a validity of %s; certificates of profile %s have at most %s now (%s)", Duration(a.Validity), p.Name, l.Max, l.Source)
		}
		rules.Max, rules.Default = l.Max, min(rules.Default, l.Max)
	}
	if plan.NotBefore, plan.NotAfter, err = rules.period(a, limit); err != nil {
		return Plan{}, err
	}
	usage := p.KeyUsage
	if _, ok := a.PublicKey.(*rsa.PublicKey); ok {
		usage = slices.Concat(usage, p.KeyUsageRSA)
	}
	if plan.KeyUsage, err = keyUsage(usage); err != nil {
		return Plan{}, err
	}
	if plan.ExtendedKeyUsage, err = extendedKeyUsage(p.ExtendedKeyUsage); err != nil {
		return Plan{}, err
	}
	return plan, nil
}

// period computes the first and the last second of the validity. Both count (RFC 5280
// section 4.1.2.5), hence the second that is taken off.
func (r ValidityRules) period(a Ask, limit time.Time) (from, to time.Time, err error) {
	v := a.Validity
	if v == 0 {
		v = time.Duration(r.Default)
	}
	if v < time.Duration(r.Min) || v > time.Duration(r.Max) {
		return from, to, fault.New(fault.Invalid, "ValidityNotAllowed", "a validity of %s; this profile takes %s to %s", Duration(v), r.Min, r.Max)
	}
	from = a.Now.UTC().Truncate(time.Second).Add(-time.Duration(r.Backdate))
	to = from.Add(v.Truncate(time.Second) - time.Second)
	if !to.After(limit) {
		return from, to, nil
	}
	if a.Validity != 0 || limit.Before(from.Add(time.Duration(r.Min)-time.Second)) {
		return from, to, fault.New(fault.Invalid, "ValidityNotAllowed", "the authority itself expires at %s; ask for a shorter validity or renew the authority", limit.UTC().Format(time.RFC3339))
	}
	return from, limit.UTC(), nil
}
