package policy

import (
	"bytes"
	_ "embed"
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"

	"chatelaine.dev/internal/lifecycle/inventory"
)

//go:embed limits.yaml
var limitsFile []byte

// Date is a day in UTC.
type Date struct{ time.Time }

// UnmarshalYAML reads 2027-03-15.
func (d *Date) UnmarshalYAML(n *yaml.Node) (err error) {
	d.Time, err = time.Parse(time.DateOnly, n.Value)
	return err
}

// Limit is what every line of limits.yaml has.
type Limit struct {
	From     Date               `yaml:"from"`
	Severity inventory.Severity `yaml:"severity"`
	Source   string             `yaml:"source"`
}

// Validity is the longest life of a certificate that is issued from a day on.
type Validity struct {
	Limit    `yaml:",inline"`
	Audience Audience `yaml:"audience"`
	Usage    string   `yaml:"usage"`
	Days     int      `yaml:"days"`
}

// Audience is who a limit is for.
type Audience string

// The audiences.
const (
	PublicWeb  Audience = "public"
	PrivateUse Audience = "private"
)

// KeySize is the size below which a key is weak.
type KeySize struct {
	Limit     `yaml:",inline"`
	Algorithm string `yaml:"algorithm"`
	Below     int    `yaml:"below"`
}

// Exponent is an RSA public exponent below which a key is weak.
type Exponent struct {
	Limit `yaml:",inline"`
	Below uint64 `yaml:"below"`
}

// Hash is one that a signature must not be made with.
type Hash struct {
	Limit `yaml:",inline"`
	Hash  string `yaml:"hash"`
}

// Usage is one that a public server certificate must not have.
type Usage struct {
	Limit     `yaml:",inline"`
	Usage     string `yaml:"usage"`
	Announced Date   `yaml:"announced"`
}

// Protocol is one that a service must not accept.
type Protocol struct {
	Limit   `yaml:",inline"`
	Version string `yaml:"version"`
}

// limit lets every line be asked alike.
func (l Limit) limit() Limit { return l }

// Limits are the numbers and dates by which the rules measure.
type Limits struct {
	Validity  []Validity                 `yaml:"validity"`
	Keys      []KeySize                  `yaml:"keys"`
	Exponents []Exponent                 `yaml:"exponents"`
	Hashes    []Hash                     `yaml:"hashes"`
	Usages    []Usage                    `yaml:"usages"`
	Protocols []Protocol                 `yaml:"protocols"`
	Names     Limit                      `yaml:"names"` // a server certificate needs alternative names
	Costs     map[inventory.Severity]int `yaml:"costs"`
}

// DefaultLimits are those of limits.yaml.
func DefaultLimits() (*Limits, error) {
	var l Limits
	d := yaml.NewDecoder(bytes.NewReader(limitsFile))
	d.KnownFields(true)
	if err := d.Decode(&l); err != nil {
		return nil, fmt.Errorf("limits.yaml: %w", err)
	}
	return &l, nil
}

// validity returns the limit for a certificate of the audience that is issued at a
// time: the latest line of its usage that began by then.
func (l *Limits) validity(a Audience, usages []string, issued time.Time) (Validity, bool) {
	var best Validity
	for _, v := range l.Validity {
		if v.Audience != a || !hasUsage(usages, v.Usage) || issued.Before(v.From.Time) {
			continue
		}
		if best.Days == 0 || v.From.After(best.From.Time) {
			best = v
		}
	}
	return best, best.Days > 0
}

// worst returns the severest of the limits that hold at now.
func worst[T interface{ limit() Limit }](limits []T, now time.Time, costs map[inventory.Severity]int) (best Limit, ok bool) {
	for _, l := range limits {
		if b := l.limit(); !now.Before(b.From.Time) && (!ok || costs[b.Severity] > costs[best.Severity]) {
			best, ok = b, true
		}
	}
	return best, ok
}
