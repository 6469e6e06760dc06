package console

import (
	"cmp"
	"slices"

	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// rules are the names of the policy's rules, and what a certificate that fails one is.
// A rule that is not here is shown by its name.
func rules() map[string]string {
	return map[string]string{
		"revoked":           "Revoked and still in use",
		"expired":           "Expired",
		"not-yet-valid":     "Not valid yet",
		"expiring":          "Expires soon",
		"weak-key":          "Key that is too weak",
		"weak-signature":    "Signed with a broken hash",
		"self-signed":       "Self-signed",
		"unknown-issuer":    "Issued by an authority that nobody registered",
		"missing-san":       "Names no host in the way that clients read",
		"hostname-mismatch": "Served under a name that it does not have",
		"long-validity":     "Valid for longer than allowed",
		"forbidden-usage":   "Has a usage that a public certificate must not have",
		"legacy-protocol":   "Served over an old version of TLS",
		"malformed":         "Not as the standards want it",
	}
}

// ruleTitle is a rule in words.
func ruleTitle(rule string) string {
	if t, ok := rules()[rule]; ok {
		return t
	}
	return view.Clean(rule)
}

// findings counts the certificates that fail each rule, the severest first.
func (v *visit) findings(p *page.Overview) error {
	type counted struct {
		page.Finding
		severity, n int
	}
	var list []counted
	for rule, title := range rules() {
		filter := "finding = " + rule
		link, n, err := v.counted(filter, view.Number)
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		s, err := v.severity(filter, rule)
		if err != nil {
			return err
		}
		list = append(list, counted{page.Finding{Severity: severityChip(s), Title: title, Count: link}, slices.Index(severities(), s), n})
	}
	slices.SortFunc(list, func(a, b counted) int {
		return cmp.Or(a.severity-b.severity, b.n-a.n, cmp.Compare(a.Title, b.Title))
	})
	for _, f := range list {
		p.Findings = append(p.Findings, f.Finding)
	}
	return nil
}

func severities() []inventory.Severity {
	return []inventory.Severity{inventory.Critical, inventory.High, inventory.Medium, inventory.Low, inventory.Info}
}

// severity is that of the rule's finding on the worst certificate that fails it.
func (v *visit) severity(filter, rule string) (inventory.Severity, error) {
	list, err := v.c.Inventory.List(v.ctx(), v.caller, inventory.ListOptions{Filter: filter, Sort: "grade", Limit: 1})
	if err != nil || len(list.Certificates) == 0 {
		return inventory.Info, err
	}
	d, err := v.c.Inventory.Get(v.ctx(), v.caller, list.Certificates[0].SHA256)
	if err != nil {
		return inventory.Info, err
	}
	worst := len(severities()) - 1
	for _, f := range d.Findings {
		if at := slices.Index(severities(), f.Severity); f.Rule == rule && at >= 0 {
			worst = min(worst, at)
		}
	}
	return severities()[worst], nil
}
