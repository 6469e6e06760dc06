// Package releasepolicy reads the policies under which a key may leave its vault, and
// holds what an attestation service says about an environment against them. The grammar
// is Azure's (contract §2.5): authorities, each with conditions on the claims of its tokens.
package releasepolicy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"chatelaine.dev/internal/fault"
)

// version is the one that exists.
const version = "1.0.0"

// Limits. A real policy has a few authorities with a few conditions each.
const (
	MaxSize       = 64 << 10
	maxDepth      = 16  // of conditions in conditions
	maxConditions = 512 // of all authorities together
	maxWord       = 4096
)

// Policy is a release policy. It is met when one authority says what it asks for.
type Policy struct{ Authorities []Authority }

// Authority is an attestation service and what its token must say.
type Authority struct {
	URL       string // as sent; Same compares
	Condition Condition
}

// Condition is one of Claim, AnyOf and AllOf.
type Condition struct {
	Claim        Claim
	AnyOf, AllOf []Condition // one of them has entries, or Claim has a name
}

// Claim compares one claim of a token with a value.
type Claim struct {
	Name     string // dots lead into objects: x-ms-isolation-tee.x-ms-attestation-type
	Operator Operator
	Value    Value
}

// Operator is how a claim is compared.
type Operator string

// The operators.
const (
	Equals          Operator = "equals"
	NotEquals       Operator = "notEquals"
	Less            Operator = "less"
	LessOrEquals    Operator = "lessOrEquals"
	Greater         Operator = "greater"
	GreaterOrEquals Operator = "greaterOrEquals"
	Exists          Operator = "exists"
)

var operators = [...]Operator{Equals, NotEquals, Less, LessOrEquals, Greater, GreaterOrEquals, Exists}

// Value is a string, a number or a boolean, in JSON.
type Value json.RawMessage

// Parse reads a policy. fault.Invalid says where it is wrong.
func Parse(data []byte) (Policy, error) {
	var p Policy
	if len(data) > MaxSize {
		return p, wrong("it is larger than %d bytes", MaxSize)
	}
	r := reader{}
	top, err := r.object(data, "the policy")
	if err != nil {
		return p, err
	}
	for _, m := range top {
		switch m.name {
		case "version":
			var v string
			if json.Unmarshal(m.value, &v) != nil || v != version {
				return p, wrong("its version must be %q", version)
			}
		case "anyof":
			if p.Authorities, err = r.authorities(m.value); err != nil {
				return p, err
			}
		default:
			return p, wrong("%.40q is not a part of a policy; it has version and anyOf", m.as)
		}
	}
	if len(top) != 2 {
		return p, wrong("it needs version and anyOf, a list of authorities")
	}
	return p, nil
}

func wrong(format string, args ...any) error {
	return fault.New(fault.Invalid, "BadParameter", "The release policy is not valid: "+format+".", args...)
}

// reader counts what it reads.
type reader struct{ conditions int }

func (r *reader) authorities(data json.RawMessage) ([]Authority, error) {
	items, err := list(data)
	if err != nil {
		return nil, wrong("anyOf must be a list of authorities, with one at least")
	}
	out := make([]Authority, 0, len(items))
	for _, item := range items {
		members, err := r.object(item, "an authority")
		if err != nil {
			return nil, err
		}
		var a Authority
		var rest []member
		for _, m := range members {
			if m.name != "authority" {
				rest = append(rest, m)
				continue
			}
			if json.Unmarshal(m.value, &a.URL) != nil {
				return nil, wrong("authority must be the URL of an attestation service")
			}
		}
		if err := CheckAuthority(a.URL); err != nil {
			return nil, err
		}
		if len(rest) != 1 || (rest[0].name != "anyof" && rest[0].name != "allof") {
			return nil, wrong("the authority %.100s needs one of anyOf and allOf, and nothing else", a.URL)
		}
		if a.Condition, err = r.condition(rest, 1); err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// CheckAuthority refuses what no attestation service can be reached by.
func CheckAuthority(authority string) error {
	u, err := url.Parse(authority)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || len(authority) > maxWord {
		return wrong("the authority %.100q must be the https:// URL of an attestation service, without query and fragment", authority)
	}
	return nil
}

// Same reports whether two URLs name the same authority: a slash at the end, and the
// case of the host, make no difference.
func Same(a, b string) bool { return canonical(a) == canonical(b) }

func canonical(authority string) string {
	u, err := url.Parse(authority)
	if err != nil {
		return authority
	}
	return strings.ToLower(u.Scheme+"://"+u.Host) + strings.TrimRight(u.EscapedPath(), "/")
}

func (r *reader) condition(members []member, depth int) (c Condition, err error) {
	if r.conditions++; r.conditions > maxConditions || depth > maxDepth {
		return c, wrong("it has more than %d conditions, or they are nested deeper than %d", maxConditions, maxDepth)
	}
	if len(members) != 1 {
		c.Claim, err = claim(members)
		return c, err
	}
	m, into := members[0], &c.AnyOf
	switch m.name {
	case "anyof":
	case "allof":
		into = &c.AllOf
	default:
		return c, wrong("%.40q is not a condition; use claim with an operator, anyOf or allOf", m.as)
	}
	items, err := list(m.value)
	if err != nil {
		return c, wrong("%s must be a list of conditions, with one at least", m.as)
	}
	for _, item := range items {
		inner, err := r.object(item, "a condition")
		if err != nil {
			return c, err
		}
		one, err := r.condition(inner, depth+1)
		if err != nil {
			return c, err
		}
		*into = append(*into, one)
	}
	return c, nil
}

// claim reads a claim condition: a claim and one operator.
func claim(members []member) (c Claim, err error) {
	for _, m := range members {
		if m.name == "claim" {
			if json.Unmarshal(m.value, &c.Name) != nil || c.Name == "" || len(c.Name) > maxWord {
				return c, wrong("claim must be the name of a claim")
			}
			continue
		}
		if c.Operator != "" {
			return c, wrong("a condition has one operator; %q is a second one", m.as)
		}
		for _, op := range operators {
			if strings.EqualFold(string(op), m.name) {
				c.Operator, c.Value = op, Value(m.value)
			}
		}
		if c.Operator == "" {
			return c, wrong("%.40q is not an operator; use one of %q", m.as, operators)
		}
	}
	if c.Name == "" || c.Operator == "" {
		return c, wrong("a condition needs a claim and an operator, or anyOf, or allOf")
	}
	return c, c.check()
}

// check wants a value that the operator can compare with.
func (c Claim) check() error {
	v, ok := scalarOf(json.RawMessage(c.Value))
	switch {
	case !ok || len(c.Value) > maxWord:
		return wrong("the value of %q for the claim %.100q must be a string, a number or a boolean", c.Operator, c.Name)
	case c.Operator == Exists && v.text != "true" && v.text != "false":
		return wrong("the value of exists for the claim %.100q must be true or false", c.Name)
	case c.Operator.orders() && !v.isNumber:
		return wrong("the value of %q for the claim %.100q must be a number", c.Operator, c.Name)
	}
	return nil
}

func (o Operator) orders() bool {
	return o == Less || o == LessOrEquals || o == Greater || o == GreaterOrEquals
}

// member is one member of a JSON object.
type member struct {
	name  string // lower case: clients write anyOf and anyof
	as    string // as it stands there
	value json.RawMessage
}

// object reads a JSON object without two members of the same name, which two readers
// could take for different things.
func (*reader) object(data json.RawMessage, what string) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, wrong("%s must be a JSON object", what)
	}
	var members []member
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, wrong("%s is not valid JSON", what)
		}
		m := member{name: strings.ToLower(name), as: name}
		if err := d.Decode(&m.value); err != nil {
			return nil, wrong("%s is not valid JSON", what)
		}
		for _, other := range members {
			if other.name == m.name {
				return nil, wrong("%s has %.40q twice", what, name)
			}
		}
		if members = append(members, m); len(members) > maxMembers {
			return nil, wrong("%s has more than %d members", what, maxMembers)
		}
	}
	if _, err := d.Token(); err != nil || d.InputOffset() != int64(len(bytes.TrimRight(data, " \t\r\n"))) {
		return nil, wrong("%s is not valid JSON, or something follows it", what)
	}
	return members, nil
}

// maxMembers is above what any object of a policy may have.
const maxMembers = 8

// list reads a JSON array that has entries.
func list(data json.RawMessage) ([]json.RawMessage, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		return nil, err
	}
	if len(items) == 0 || len(items) > maxConditions {
		return nil, fmt.Errorf("%d entries", len(items))
	}
	return items, nil
}
