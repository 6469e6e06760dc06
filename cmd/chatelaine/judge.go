package main

import (
	"cmp"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/lifecycle/discovery"
	"chatelaine.dev/internal/lifecycle/discovery/scan"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/policy"
)

// judge says what is wrong with a certificate by the policy that the server has.
type judge struct{ rules *policy.Rules }

// newJudge makes a judge that knows the roots of the public web and those of a file.
func newJudge(ca string) (*judge, error) {
	limits, err := policy.DefaultLimits()
	if err != nil {
		return nil, err
	}
	var own [][]byte
	if ca != "" {
		b, err := os.ReadFile(filepath.Clean(ca))
		if err != nil {
			return nil, fmt.Errorf("roots of your own: %w", err)
		}
		for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
			own = append(own, block.Bytes)
		}
	}
	anchors := policy.NewAnchors(policy.PublicRoots(), own)
	return &judge{policy.New(limits, func() *policy.Anchors { return anchors })}, nil
}

// judged is what one address showed, and what is wrong with it.
type judged struct {
	inventory.Place
	At          time.Time              `json:"at"`
	Outcome     scan.Outcome           `json:"outcome"`
	Problem     string                 `json:"problem,omitempty"`
	TLS         *inventory.TLS         `json:"tls,omitempty"`
	Certificate *inventory.Certificate `json:"certificate,omitempty"`
	Chain       []inventory.Link       `json:"chain,omitempty"`
	Trust       inventory.Trust        `json:"trust,omitempty"`
	Grade       string                 `json:"grade,omitempty"`
	Score       int                    `json:"score"`
	Findings    []inventory.Finding    `json:"findings,omitempty"`
}

func (j *judge) judge(r scan.Result) judged {
	o := discovery.Observation(r)
	x := judged{Place: o.Place, At: r.At, Outcome: r.Outcome, Problem: r.Problem, Score: 100}
	if r.Outcome != scan.Found {
		return x
	}
	x.TLS, x.Certificate = o.TLS, inventory.Parse(o.DER)
	var issuers []*inventory.Certificate
	for _, der := range o.Chain {
		i := inventory.Parse(der)
		issuers = append(issuers, i)
		x.Chain = append(x.Chain, inventory.Link{SHA256: i.SHA256, Name: i.Name, NotAfter: i.NotAfter})
	}
	v := j.rules.Judge(inventory.Case{
		Certificate: x.Certificate, Issuers: issuers, Now: r.At,
		Installations: []inventory.Installation{{
			ID: x.Place.ID(), SHA256: x.Certificate.SHA256, Place: x.Place, State: inventory.Present, Current: true,
			FirstSeen: r.At, LastSeen: r.At, Checked: r.At, TLS: x.TLS,
		}},
	})
	x.Trust, x.Score, x.Grade, x.Findings = v.Trust, v.Score, inventory.Letter(v.Score), v.Findings
	return x
}

// urgent counts the findings that should not wait.
func (x judged) urgent() int {
	n := 0
	for _, f := range x.Findings {
		if f.Severity == inventory.Critical || f.Severity == inventory.High {
			n++
		}
	}
	return n
}

func worstFirst(a, b judged) int {
	return cmp.Or(cmp.Compare(a.Score, b.Score), cmp.Compare(a.Host, b.Host), cmp.Compare(a.IP, b.IP), cmp.Compare(a.Port, b.Port))
}

func judgedColumns(now time.Time) []terminal.Column[judged] {
	of := func(read func(c *inventory.Certificate) string) func(judged) string {
		return func(x judged) string {
			if x.Certificate == nil {
				return ""
			}
			return read(x.Certificate)
		}
	}
	return []terminal.Column[judged]{
		{Name: "endpoint", Of: func(x judged) string { return installation{Host: x.Host, IP: x.IP, Port: x.Port, SNI: x.SNI}.place() }},
		{Name: "certificate", Of: func(x judged) string {
			if x.Certificate == nil {
				return string(x.Outcome)
			}
			return x.Certificate.Name
		}},
		{Name: "issuer", Of: of(func(c *inventory.Certificate) string { return c.Issuer })},
		{Name: "expires", Of: of(func(c *inventory.Certificate) string { return terminal.Day(now, c.NotAfter) })},
		{Name: "key", Of: of(func(c *inventory.Certificate) string {
			return key{c.Key.Algorithm, c.Key.Parameters, c.Key.Size}.String()
		})},
		{Name: "tls", Of: func(x judged) string {
			if x.TLS == nil {
				return ""
			}
			if len(x.TLS.Versions) > 0 {
				return strings.ReplaceAll(strings.Join(x.TLS.Versions, ", "), "TLS ", "")
			}
			return strings.TrimPrefix(x.TLS.Version, "TLS ")
		}},
		{Name: "grade", Of: func(x judged) string { return x.Grade }},
		{Name: "findings", Of: func(x judged) string {
			if x.Certificate == nil {
				return x.Problem
			}
			var rules []string
			for _, f := range x.Findings {
				rules = append(rules, f.Rule)
			}
			return strings.Join(rules, ", ")
		}},
	}
}
