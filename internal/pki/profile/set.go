package profile

import (
	"bytes"
	_ "embed" // the profiles that come with the product
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"

	"chatelaine.dev/internal/fault"
)

//go:embed builtin.json
var builtIn []byte

// Set is the profiles that exist, by name. It does not change once it is parsed.
type Set struct{ byName map[string]Profile }

// BuiltIn returns the profiles that come with the product.
func BuiltIn() (Set, error) { return Parse(builtIn) }

// maxProfiles bounds a set; a list of kinds that nobody can read is a mistake.
const maxProfiles = 1000

// Parse reads a JSON array of profiles and refuses one that would issue more than it
// says: no purpose, any purpose, powers of an authority, no limit. Fields that do not
// exist are refused, so that a misspelt rule is not silently absent.
func Parse(text []byte) (Set, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var list []Profile
	if err := d.Decode(&list); err != nil {
		return Set{}, fmt.Errorf("profiles: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Set{}, errors.New("profiles: text after the end of the list")
	}
	return NewSet(list)
}

// NewSet makes a set of valid profiles with different names.
func NewSet(list []Profile) (Set, error) {
	if len(list) > maxProfiles {
		return Set{}, fmt.Errorf("profiles: %d of them, at most %d", len(list), maxProfiles)
	}
	s := Set{byName: make(map[string]Profile, len(list))}
	for _, p := range list {
		if err := p.Valid(); err != nil {
			return Set{}, fmt.Errorf("profile %q: %w", p.Name, err)
		}
		if _, ok := s.byName[p.Name]; ok {
			return Set{}, fmt.Errorf("profile %q: defined twice", p.Name)
		}
		s.byName[p.Name] = p
	}
	return s, nil
}

// ParseOne reads one profile as Parse reads many.
func ParseOne(text []byte) (Profile, error) {
	s, err := Parse(slices.Concat([]byte("["), text, []byte("]")))
	if err != nil {
		return Profile{}, err
	}
	list := s.All()
	if len(list) != 1 {
		return Profile{}, errors.New("profiles: want one of them")
	}
	return list[0], nil
}

// Source is where profiles are found.
type Source interface {
	// Get returns a profile; fault.Invalid names those that exist.
	Get(name string) (Profile, error)
	// All returns the profiles in the order of their names.
	All() []Profile
}

// Get returns a profile; fault.Invalid names those that exist.
func (s Set) Get(name string) (Profile, error) {
	p, ok := s.byName[name]
	if !ok {
		return Profile{}, fault.New(fault.Invalid, "UnknownProfile", "there is no profile %.64q; use one of %q", name, slices.Sorted(maps.Keys(s.byName)))
	}
	return p, nil
}

// All returns the profiles in the order of their names.
func (s Set) All() []Profile {
	out := make([]Profile, 0, len(s.byName))
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		out = append(out, s.byName[name])
	}
	return out
}

var slug = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ValidID reports whether text can name a profile or an authority: up to 63 lower-case
// letters, digits and hyphens. Such a name is safe in a URL, a file name and a scope.
func ValidID(text string) bool { return slug.MatchString(text) }

// Valid checks a profile as data, before any request is seen.
func (p Profile) Valid() error {
	if !ValidID(p.Name) {
		return errors.New("a name is up to 63 lower-case letters, digits and hyphens")
	}
	if len(p.Authorities) == 0 {
		return errors.New("authorities: name at least one")
	}
	for _, a := range p.Authorities {
		if !ValidID(a) {
			return fmt.Errorf("authorities: %q is no id of an authority", a)
		}
	}
	if err := validKeys(p); err != nil {
		return err
	}
	if len(p.Title) > maxTitle || len(p.Authorities) > maxAuthorities {
		return fmt.Errorf("a title has at most %d bytes, and a profile at most %d authorities", maxTitle, maxAuthorities)
	}
	if _, err := keyUsage(slices.Concat(p.KeyUsage, p.KeyUsageRSA)); err != nil {
		return err
	}
	if len(p.KeyUsage) == 0 {
		return errors.New("keyUsage: name at least one")
	}
	if len(p.ExtendedKeyUsage) == 0 {
		return errors.New("extendedKeyUsage: name at least one; without it the certificate is good for any purpose")
	}
	if _, err := extendedKeyUsage(p.ExtendedKeyUsage); err != nil {
		return err
	}
	if p.gives("timeStamping") && (len(p.ExtendedKeyUsage) > 1 || !p.ExtendedKeyUsageCritical) {
		return errors.New("extendedKeyUsage: timeStamping stands alone and is critical (RFC 3161 section 2.3)")
	}
	if (p.Approval || p.Doors.SCEP != nil && p.Doors.SCEP.Approval) && p.Subject.free() {
		return errors.New("subject: who approves a request sees its common name and names; with approval every attribute is fixed")
	}
	if p.NoRevocation {
		if p.Validity.Default > maxUnrevoked {
			return fmt.Errorf("noRevocation: a certificate that cannot be revoked is valid for at most %s", maxUnrevoked)
		}
	}
	return errors.Join(p.Subject.valid(), p.Names.valid(), p.Validity.valid(), validExtensions(p), p.Doors.valid())
}

const (
	maxTitle       = 200 // bytes
	maxAuthorities = 100
	maxPatternList = 50

	maxUnrevoked = Duration(10 * day) // the most that any date allows; see limits.json
)

func (r NameRules) valid() error {
	switch r.CommonName {
	case CommonNameNone, CommonNameFirst, CommonNameFree:
	default:
		return fmt.Errorf("names: commonName is %q, want none, first or free", r.CommonName)
	}
	if r.Min < 0 || r.Max < r.Min || r.Max > maxNames {
		return fmt.Errorf("names: want 0 ≤ min ≤ max ≤ %d", maxNames)
	}
	if r.Min == 0 && r.CommonName != CommonNameFree {
		return errors.New("names: min 0 needs commonName free, or the certificate names nobody")
	}
	if len(r.Patterns) > maxPatternList {
		return fmt.Errorf("names: at most %d patterns", maxPatternList)
	}
	for _, pattern := range append([]string{r.CommonNamePattern}, r.Patterns...) {
		if _, err := whole(pattern); err != nil {
			return fmt.Errorf("names: %w", err)
		}
	}
	fixed := NameRules{Max: maxNames, DNS: true, Wildcard: true, SingleLabel: true, IP: true, Email: true, URI: true}
	if _, err := fixed.normal(r.Fixed); err != nil {
		return fmt.Errorf("names: fixed: %w", err)
	}
	return validPatterns("names: allowed", r.Allowed)
}

func (r ValidityRules) valid() error {
	if r.Backdate < 0 || r.Min <= r.Backdate || r.Default < r.Min || r.Max < r.Default {
		return errors.New("validity: want backdate < min ≤ default ≤ max")
	}
	return nil
}
