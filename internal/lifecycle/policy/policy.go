// Package policy judges certificates: a chain of small pure functions, each a rule, over
// what a certificate says, where it is installed and what day it is. Numbers and dates are
// data (limits.yaml), each with its source.
package policy

import (
	"slices"
	"time"

	"chatelaine.dev/internal/lifecycle/inventory"
)

// Finding is one rule that a certificate fails.
type Finding = inventory.Finding

// Rules judge certificates. They implement inventory.Judge.
type Rules struct {
	limits  *Limits
	anchors func() *Anchors
}

// New makes the rules. anchors is asked at every judgement, so that a new authority counts at once.
func New(l *Limits, anchors func() *Anchors) *Rules { return &Rules{l, anchors} }

// subject is what a rule looks at.
type subject struct {
	inventory.Case
	trust  inventory.Trust
	limits *Limits
}

// rule returns what is wrong, or nothing. It must not look at anything but the subject.
type rule func(s *subject) []Finding

// chain is every rule, in the order in which people read findings. Those of request
// apply to a certificate that does not exist yet as well.
func chain() (request, existing []rule) {
	request = []rule{weakKey, weakSignature, validity, missingSAN, usage}
	existing = []rule{revoked, expired, notYetValid, expiring, weakKey, weakSignature, selfSigned, unknownIssuer,
		missingSAN, hostnameMismatch, validity, usage, legacyProtocol, unreadable}
	return request, existing
}

// Judge implements inventory.Judge.
func (r *Rules) Judge(c inventory.Case) inventory.Verdict {
	return r.judge(&subject{Case: c, trust: r.anchors().Trust(c.Certificate, c.Issuers), limits: r.limits})
}

func (r *Rules) judge(s *subject) inventory.Verdict {
	v := inventory.Verdict{Trust: s.trust}
	_, rules := chain()
	for _, rule := range rules {
		v.Findings = append(v.Findings, rule(s)...)
	}
	v.Score = r.score(v.Findings)
	return v
}

// score takes from 100 what each rule's severest finding costs.
func (r *Rules) score(fs []Finding) int {
	costs := map[string]int{}
	for _, f := range fs {
		costs[f.Rule] = max(costs[f.Rule], r.limits.Costs[f.Severity])
	}
	score := 100
	for _, c := range costs {
		score -= c
	}
	return max(score, 0)
}

// Request is a certificate to be: what enrollment is about to ask an issuer for.
type Request struct {
	Subject   string // RFC 4514; may be empty
	Names     []inventory.Name
	Key       inventory.Key
	Hash      string // of the signature, such as SHA-256; empty where the issuer decides
	NotBefore time.Time
	NotAfter  time.Time
	Usages    []string // extended key usages, such as serverAuth
	CA        bool
	Public    bool // the issuer's root is trusted by browsers
}

// CheckRequest judges a certificate before it exists. No finding is a reason to refuse by
// itself; the caller decides from which severity on.
func (r *Rules) CheckRequest(q Request, now time.Time) []Finding {
	c := &inventory.Certificate{
		Subject: q.Subject, Names: q.Names, Key: q.Key, Signature: inventory.Signature{Hash: q.Hash, Algorithm: q.Hash},
		NotBefore: q.NotBefore, NotAfter: q.NotAfter, ExtKeyUsage: q.Usages, CA: q.CA, Parser: inventory.Standard,
	}
	s := &subject{Case: inventory.Case{Certificate: c, Now: now}, trust: inventory.Private, limits: r.limits}
	if q.Public {
		s.trust = inventory.Public
	}
	rules, _ := chain()
	var fs []Finding
	for _, rule := range rules {
		fs = append(fs, rule(s)...)
	}
	return fs
}

// Blocking returns the findings of at least a severity.
func (r *Rules) Blocking(fs []Finding, from inventory.Severity) []Finding {
	return slices.DeleteFunc(slices.Clone(fs), func(f Finding) bool { return r.limits.Costs[f.Severity] < r.limits.Costs[from] })
}

// server reports whether TLS clients may meet the certificate at a server: by its usages,
// or because it has none and is no CA.
func (s *subject) server() bool {
	u := s.Certificate.ExtKeyUsage
	return !s.Certificate.CA && (len(u) == 0 || hasUsage(u, "serverAuth"))
}

// hasUsage takes a certificate without usages, or with any, for a server's.
func hasUsage(usages []string, u string) bool {
	return slices.Contains(usages, u) || u == "serverAuth" && (len(usages) == 0 || slices.Contains(usages, "anyExtendedKeyUsage"))
}

// later is the time from which two conditions hold.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
