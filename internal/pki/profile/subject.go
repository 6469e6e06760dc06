package profile

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"unicode"
	"unicode/utf8"

	"chatelaine.dev/internal/fault"
)

// Subject is the attributes of a subject besides the common name, by their short names
// ("O", "OU", "C").
type Subject map[string][]string

// SubjectRules say which attributes besides the common name a subject has. What has no
// rule is not in the certificate, whatever is asked.
type SubjectRules map[string]AttributeRule

// AttributeRule is the rule of one attribute.
type AttributeRule struct {
	Fixed    []string `json:"fixed,omitempty"`    // these values always; then nothing can be asked
	Required bool     `json:"required,omitempty"` // one must be asked for
	Pattern  string   `json:"pattern,omitempty"`  // RE2 that the whole of each value matches
	Max      int      `json:"max,omitempty"`      // values at most; 0 is 1
}

// attribute is what the standards say of one: its id and the longest value, in characters
// (RFC 5280 appendix A.1, X.520).
type attribute struct {
	name string
	oid  asn1.ObjectIdentifier
	max  int
}

// attributes in the order in which a subject has them.
func attributes() []attribute {
	return []attribute{
		{"C", asn1.ObjectIdentifier{2, 5, 4, 6}, 2}, {"ST", asn1.ObjectIdentifier{2, 5, 4, 8}, 128}, {"L", asn1.ObjectIdentifier{2, 5, 4, 7}, 128},
		{"street", asn1.ObjectIdentifier{2, 5, 4, 9}, 128}, {"postalCode", asn1.ObjectIdentifier{2, 5, 4, 17}, 16},
		{"O", asn1.ObjectIdentifier{2, 5, 4, 10}, 64}, {"organizationIdentifier", asn1.ObjectIdentifier{2, 5, 4, 97}, 64},
		{"OU", asn1.ObjectIdentifier{2, 5, 4, 11}, 64}, {"title", asn1.ObjectIdentifier{2, 5, 4, 12}, 64},
		{"givenName", asn1.ObjectIdentifier{2, 5, 4, 42}, 16}, {"surname", asn1.ObjectIdentifier{2, 5, 4, 4}, 40},
		{"serialNumber", asn1.ObjectIdentifier{2, 5, 4, 5}, 64},
	}
}

// SubjectOf takes the known attributes from a name, such as that of a CSR.
func SubjectOf(n pkix.Name) Subject {
	var s Subject
	for _, v := range n.Names {
		for _, a := range attributes() {
			if text, ok := v.Value.(string); ok && v.Type.Equal(a.oid) {
				if s == nil {
					s = Subject{}
				}
				s[a.name] = append(s[a.name], text)
			}
		}
	}
	return s
}

// Name is the subject with a common name as X.500 writes it, each attribute in a set of
// its own.
func (s Subject) Name(commonName string) pkix.Name {
	var n pkix.Name
	for _, a := range attributes() {
		for _, v := range s[a.name] {
			n.ExtraNames = append(n.ExtraNames, pkix.AttributeTypeAndValue{Type: a.oid, Value: v})
		}
	}
	if commonName != "" {
		n.ExtraNames = append(n.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: commonName})
	}
	return n
}

// decide makes the subject of what is asked.
func (r SubjectRules) decide(asked Subject) (Subject, error) {
	if len(r) == 0 {
		return nil, nil
	}
	out := Subject{}
	for _, a := range attributes() {
		rule, ok := r[a.name]
		if !ok {
			continue
		}
		values := asked[a.name]
		if len(rule.Fixed) > 0 {
			values = rule.Fixed
		}
		if rule.Required && len(values) == 0 {
			return nil, fault.New(fault.Invalid, "BadSubject", "this profile wants the attribute %s in the subject; add it to the request", a.name)
		}
		if len(values) > max(rule.Max, 1) && len(rule.Fixed) == 0 {
			return nil, fault.New(fault.Invalid, "BadSubject", "%d values of the attribute %s; this profile takes at most %d", len(values), a.name, max(rule.Max, 1))
		}
		pattern, err := whole(rule.Pattern)
		if err != nil {
			return nil, err
		}
		for _, v := range values {
			if why := a.bad(v); why != "" {
				return nil, fault.New(fault.Invalid, "BadSubject", "the attribute %s %.64q: %s", a.name, v, why)
			}
			if pattern != nil && len(rule.Fixed) == 0 && !pattern.MatchString(v) {
				return nil, fault.New(fault.Invalid, "BadSubject", "the attribute %s %.64q does not match what this profile takes: %s", a.name, v, rule.Pattern)
			}
		}
		if len(values) > 0 {
			out[a.name] = slices.Clone(values)
		}
	}
	return out, nil
}

// bad tells what is wrong with a value, or nothing.
func (a attribute) bad(v string) string {
	switch {
	case v == "" || !utf8.ValidString(v) || utf8.RuneCountInString(v) > a.max:
		return fmt.Sprintf("want 1 to %d characters of UTF-8", a.max)
	case a.name == "C" && (len(v) != 2 || v[0] < 'A' || v[0] > 'Z' || v[1] < 'A' || v[1] > 'Z'):
		return "want the two capital letters of a country (ISO 3166)"
	case v[0] == ' ' || v[len(v)-1] == ' ':
		return "it begins or ends with a space"
	}
	for _, c := range v {
		if !unicode.IsPrint(c) || c == utf8.RuneError {
			return "it holds a character that cannot be printed"
		}
	}
	return ""
}

// free reports whether a requester can choose any attribute.
func (r SubjectRules) free() bool {
	for _, rule := range r {
		if len(rule.Fixed) == 0 {
			return true
		}
	}
	return false
}

func (r SubjectRules) valid() error {
	known := make(map[string]attribute, len(r))
	for _, a := range attributes() {
		known[a.name] = a
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(r)) {
		rule := r[name]
		a, ok := known[name]
		if !ok {
			errs = append(errs, fmt.Errorf("subject: attribute %q is unknown; use some of %q", name, slices.Sorted(maps.Keys(known))))
			continue
		}
		for _, v := range rule.Fixed {
			if why := a.bad(v); why != "" {
				errs = append(errs, fmt.Errorf("subject: %s %q: %s", name, v, why))
			}
		}
		if rule.Max < 0 || rule.Max > maxValues || len(rule.Fixed) > maxValues {
			errs = append(errs, fmt.Errorf("subject: %s: at most %d values", name, maxValues))
		}
		if len(rule.Fixed) > 0 && (rule.Pattern != "" || rule.Max != 0) {
			errs = append(errs, fmt.Errorf("subject: %s: a fixed attribute has no pattern and no max", name))
		}
		if _, err := whole(rule.Pattern); err != nil {
			errs = append(errs, fmt.Errorf("subject: %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

const (
	maxValues  = 10  // of one attribute
	maxPattern = 500 // bytes of a regular expression
)

// whole compiles a pattern that the whole of a text must match; nil for none. RE2 takes
// time linear in the text, so that no text can stop us.
func whole(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("pattern: %d bytes, at most %d", len(pattern), maxPattern)
	}
	if _, err := regexp.Compile(pattern); err != nil { // alone, so that it cannot close the group around it
		return nil, fmt.Errorf("pattern: %w", err)
	}
	return regexp.Compile(`\A(?:` + pattern + `)\z`)
}
