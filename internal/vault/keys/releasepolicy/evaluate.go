package releasepolicy

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
)

// Claims are those of a verified token.
type Claims map[string]json.RawMessage

// Met reports whether the policy lets the key go to whom the authority's token speaks
// of. Conditions of other authorities do not count.
func (p Policy) Met(authority string, c Claims) bool {
	for _, a := range p.Authorities {
		if Same(a.URL, authority) && a.Condition.met(c) {
			return true
		}
	}
	return false
}

func (c Condition) met(claims Claims) bool {
	switch {
	case len(c.AnyOf) > 0:
		for _, x := range c.AnyOf {
			if x.met(claims) {
				return true
			}
		}
		return false
	case len(c.AllOf) > 0:
		for _, x := range c.AllOf {
			if !x.met(claims) {
				return false
			}
		}
		return true
	}
	return c.Claim.met(claims)
}

// met compares. A claim that is missing, or is no scalar, meets nothing but exists:
// what is not said is not proved, not even by notEquals.
func (c Claim) met(claims Claims) bool {
	raw, found := claims.find(c.Name)
	want, _ := scalarOf(json.RawMessage(c.Value))
	if c.Operator == Exists {
		return found == (want.text == "true")
	}
	is, ok := scalarOf(raw)
	if !found || !ok {
		return false
	}
	switch c.Operator {
	case Equals:
		return is.equals(want)
	case NotEquals:
		return !is.equals(want)
	}
	if !is.isNumber || !want.isNumber {
		return false
	}
	switch order := is.number.Cmp(want.number); c.Operator {
	case Less:
		return order < 0
	case LessOrEquals:
		return order <= 0
	case Greater:
		return order > 0
	case GreaterOrEquals:
		return order >= 0
	}
	return false
}

// find returns the claim of a name: the member of that very name, or what the dots in it
// lead to.
func (c Claims) find(name string) (json.RawMessage, bool) {
	if raw, ok := c[name]; ok {
		return raw, true
	}
	for i := range len(name) {
		if name[i] != '.' {
			continue
		}
		raw, ok := c[name[:i]]
		if !ok || !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
			continue
		}
		var inner Claims
		if json.Unmarshal(raw, &inner) != nil {
			continue
		}
		if found, ok := inner.find(name[i+1:]); ok {
			return found, true
		}
	}
	return nil, false
}

// scalar is a string, a number or a boolean. The policies of Azure's clients write true
// and 2 as strings too, so their text is what counts.
type scalar struct {
	text     string
	number   *big.Rat
	isNumber bool
}

func (s scalar) equals(o scalar) bool {
	if s.isNumber && o.isNumber {
		return s.number.Cmp(o.number) == 0
	}
	return s.text == o.text
}

// scalarOf reads a scalar; ok is false for null, lists and objects.
func scalarOf(raw json.RawMessage) (s scalar, ok bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return s, false
	}
	switch raw[0] {
	case '"':
		if json.Unmarshal(raw, &s.text) != nil {
			return s, false
		}
	case '{', '[', 'n':
		return s, false
	default:
		s.text = string(raw)
	}
	s.number, s.isNumber = numberOf(s.text)
	return s, true
}

// numberOf reads a number in decimal. Exponents are no part of it, because 1e999999999 is
// short to write and long to compute.
func numberOf(text string) (*big.Rat, bool) {
	if len(text) == 0 || len(text) > maxDigits || strings.Trim(text, "0123456789.-") != "" {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}

// maxDigits is more than the longest counter of a token has.
const maxDigits = 64
