package filter

import (
	"fmt"
	"strings"
	"time"
)

// Parse reads a filter. now resolves relative times. An error is an *Error.
func Parse(s string, now time.Time) (Node, error) {
	ts, err := lex(s)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: ts, now: now}
	if p.peek().kind == end {
		return All{}, nil
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != end {
		return nil, fail(t, "expected and, or or the end, not %s", t)
	}
	return n, nil
}

type parser struct {
	tokens []token
	at     int
	depth  int
	terms  int
	now    time.Time
}

func fail(t token, format string, args ...any) error {
	return &Error{t.column, fmt.Sprintf(format, args...)}
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) take() token {
	t := p.tokens[p.at]
	if t.kind != end {
		p.at++
	}
	return t
}

// keyword takes the word if it is next, in any case.
func (p *parser) keyword(w string) bool {
	if t := p.peek(); t.kind == word && strings.EqualFold(t.text, w) {
		p.at++
		return true
	}
	return false
}

func (p *parser) or() (Node, error) {
	nodes, err := p.joined("or", p.and)
	if err == nil && len(nodes) == 1 {
		return nodes[0], nil
	}
	return Or(nodes), err
}

func (p *parser) and() (Node, error) {
	nodes, err := p.joined("and", p.not)
	if err == nil && len(nodes) == 1 {
		return nodes[0], nil
	}
	return And(nodes), err
}

func (p *parser) joined(w string, inner func() (Node, error)) (nodes []Node, err error) {
	for {
		n, err := inner()
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
		if !p.keyword(w) {
			return nodes, nil
		}
	}
}

func (p *parser) not() (Node, error) {
	t := p.peek()
	if p.depth++; p.depth > maxDepth {
		return nil, fail(t, "more than %d parentheses and nots within each other", maxDepth)
	}
	defer func() { p.depth-- }()
	if p.keyword("not") {
		n, err := p.not()
		return Not{n}, err
	}
	if t.kind != open {
		return p.condition()
	}
	p.take()
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if c := p.take(); c.kind != closing {
		return nil, fail(c, "expected ) for the ( at column %d, not %s", t.column, c)
	}
	return n, nil
}

func (p *parser) condition() (Node, error) {
	t := p.take()
	if p.terms++; p.terms > MaxTerms {
		return nil, fail(t, "more than %d conditions", MaxTerms)
	}
	if t.kind != word || strings.EqualFold(t.text, "and") || strings.EqualFold(t.text, "or") {
		return nil, fail(t, "expected a condition, not %s", t)
	}
	d, ok := lookup(t.text)
	if !ok {
		if s := nearest(t.text); s != "" {
			return nil, fail(t, "there is no field %s; did you mean %s?", t, s)
		}
		return nil, fail(t, "there is no field %s", t)
	}
	op := p.peek()
	if op.kind != operator {
		if d.kind == boolean {
			return Cmp{Field: d.Field, Op: Eq, Bool: true}, nil
		}
		return nil, fail(op, "expected an operator after %s, not %s", d.Field, op)
	}
	p.take()
	if err := d.allows(op); err != nil {
		return nil, err
	}
	v := p.take()
	if v.kind != word && v.kind != quoted {
		return nil, fail(v, "expected a value for %s, not %s", d.Field, v)
	}
	n, err := p.compare(d, Op(op.text), v)
	if err != nil {
		return nil, err
	}
	return n, nil
}

func (d definition) allows(op token) error {
	switch Op(op.text) {
	case Eq, ne:
		return nil
	case Contains:
		if d.contains() {
			return nil
		}
		return fail(op, "%s is no text, so ~ does not work; use =", d.Field)
	}
	if d.ordered() {
		return nil
	}
	if d.contains() {
		return fail(op, "%s has no order; use =, != or ~", d.Field)
	}
	return fail(op, "%s has no order; use = or !=", d.Field)
}

// compare resolves the value and brings the operator to one of the five.
func (p *parser) compare(d definition, op Op, v token) (Node, error) {
	if op == ne {
		n, err := p.compare(d, Eq, v)
		return Not{n}, err
	}
	c := Cmp{Field: d.Field, Op: op}
	if d.Field == Status {
		c.Now = p.now.UnixMicro()
	}
	if !d.ordered() {
		return p.word(c, d, v)
	}
	low, high, err := p.bounds(d, v)
	if err != nil {
		return nil, err
	}
	switch op { // low is the first value that equals v, high the first one after it
	case Eq:
		c.Op, c.Low, c.High = Within, low, high
	case Lt:
		c.High = low
	case le:
		c.Op, c.High = Lt, high
	case gt:
		c.Op, c.Low = Ge, high
	case Ge:
		c.Low = low
	}
	return c, nil
}

func (p *parser) word(c Cmp, d definition, v token) (Node, error) {
	c.Text = strings.ToLower(v.text)
	switch d.kind {
	case boolean:
		switch c.Text {
		case "true", "yes":
			c.Bool = true
		case "false", "no":
		default:
			return nil, fail(v, "%s is true or false, not %s", d.Field, v)
		}
		c.Text = ""
	case hexText:
		c.Text = strings.Map(func(r rune) rune {
			if r == ':' || r == ' ' {
				return -1
			}
			return r
		}, c.Text)
		digits := strings.TrimPrefix(c.Text, "-")
		if digits == "" || strings.Trim(digits, "0123456789abcdef") != "" {
			return nil, fail(v, "%s is written in hex digits, not %s", d.Field, v)
		}
		if d.Field == Serial && c.Op == Eq {
			c.Text = serial(c.Text)
		}
	case enum:
		for _, o := range d.options {
			if o == c.Text {
				return c, nil
			}
		}
		return nil, fail(v, "%s is one of %s, not %s", d.Field, strings.Join(d.options, ", "), v)
	case text:
		if c.Op == Contains && c.Text == "" {
			return nil, fail(v, "every text contains nothing; write what to look for")
		}
	}
	return c, nil
}

// serial writes a serial number as the inventory does: no leading zeros but an even
// number of digits.
func serial(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	s = strings.TrimLeft(s, "0")
	if s == "" {
		return "00"
	}
	if len(s)%2 == 1 {
		s = "0" + s
	}
	return sign + s
}
