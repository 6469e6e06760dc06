package inventorydb

import (
	"fmt"
	"strconv"
	"strings"

	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/inventory/filter"
)

// builder turns a filter into a condition on inventory_certificates c. Everything that
// came from the user is an argument; the text is made of constants alone. No condition
// is ever NULL, so that NOT means not.
type builder struct{ args []any }

func (b *builder) arg(v any) string {
	b.args = append(b.args, v)
	return "$" + strconv.Itoa(len(b.args))
}

func (b *builder) node(n filter.Node) (string, error) {
	switch n := n.(type) {
	case filter.All:
		return "TRUE", nil
	case filter.And:
		return b.join(n, " AND ")
	case filter.Or:
		return b.join(n, " OR ")
	case filter.Not:
		inner, err := b.node(n.Node)
		return "(NOT " + inner + ")", err
	case filter.Cmp:
		s, err := b.compare(n)
		return "(" + s + ")", err
	}
	return "", fmt.Errorf("filter: unknown node %T", n)
}

func (b *builder) join(nodes []filter.Node, with string) (string, error) {
	parts := make([]string, len(nodes))
	for i, n := range nodes {
		var err error
		if parts[i], err = b.node(n); err != nil {
			return "", err
		}
	}
	return "(" + strings.Join(parts, with) + ")", nil
}

func (b *builder) compare(c filter.Cmp) (string, error) {
	switch c.Field {
	case filter.Name:
		return b.text("c.name_key", c), nil
	case filter.Subject:
		return b.text("c.subject_key", c), nil
	case filter.Issuer:
		return b.text("c.issuer_key", c), nil
	case filter.Owner:
		return b.filled("c.owner_key", "c.owner_key", c), nil
	case filter.Serial:
		return b.text("c.serial", c), nil
	case filter.SHA256:
		return b.text("c.sha256", c), nil
	case filter.SPKI:
		return b.text("c.spki", c), nil
	case filter.Lineage:
		return b.filled("lower(c.lineage)", "c.lineage", c), nil
	case filter.Key:
		return b.text("lower(c.key_algorithm)", c), nil
	case filter.Curve:
		return b.text("lower(c.key_parameters)", c), nil
	case filter.Signature:
		return b.text("lower(c.signature)", c), nil
	case filter.Stage:
		return b.text("c.stage", c), nil
	case filter.Trust:
		return b.text("c.trust", c), nil
	case filter.Parser:
		return b.text("c.parser", c), nil
	case filter.KeySize:
		return "c.key_size > 0 AND " + b.number("c.key_size", c), nil
	case filter.Grade:
		return b.number("c.score", c), nil
	case filter.Lifetime:
		return "c.lifetime > 0 AND " + b.number("c.lifetime", c), nil
	case filter.Expires:
		return b.known("c.not_after", c), nil
	case filter.Issued:
		return b.known("c.not_before", c), nil
	case filter.FirstSeen:
		return b.number("c.first_seen", c), nil
	case filter.LastSeen:
		return b.number("c.last_seen", c), nil
	case filter.SelfSigned:
		return "c.self_signed = " + b.arg(c.Bool), nil
	case filter.Wildcard:
		return "c.wildcard = " + b.arg(c.Bool), nil
	case filter.CA:
		return "c.ca = " + b.arg(c.Bool), nil
	case filter.Revoked:
		return "(c.revoked <> 0) = " + b.arg(c.Bool), nil
	case filter.Status:
		return b.status(c)
	}
	return b.elsewhere(c)
}

// elsewhere are the conditions on tables that hold many rows a certificate. IN, not
// EXISTS: both engines begin with the subquery when it is the narrower one.
func (b *builder) elsewhere(c filter.Cmp) (string, error) {
	in := func(table, condition string) string {
		return "c.sha256 IN (SELECT sha256 FROM " + table + " WHERE " + condition + ")"
	}
	const installations = "inventory_installations"
	switch c.Field {
	case filter.SAN:
		return in("inventory_names", b.text("value", c)), nil
	case filter.KeyUsage:
		return in("inventory_usages", b.text("value", c)), nil
	case filter.Finding:
		return in("inventory_findings", b.text("rule", c)), nil
	case filter.State:
		if c.Op != filter.Contains && c.Text == string(inventory.Present) { // of most that are anywhere, so it is never the narrower one
			return "EXISTS (SELECT 1 FROM " + installations + " i WHERE i.sha256 = c.sha256 AND i." + b.text("state", c) + ")", nil
		}
		return in(installations, b.text("state", c)), nil
	case filter.Source:
		return in(installations, "latest AND "+b.text("lower(source)", c)), nil
	case filter.Campaign:
		return in(installations, "latest AND "+b.text("lower(campaign)", c)), nil
	case filter.Host:
		return in(installations, "latest AND "+b.text("host", c)), nil
	case filter.IP:
		return in(installations, "latest AND "+b.text("ip", c)), nil
	case filter.Port:
		return in(installations, "latest AND "+b.number("port", c)), nil
	}
	return "", fmt.Errorf("filter: no column for %q", c.Field)
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func (b *builder) text(column string, c filter.Cmp) string {
	if c.Op == filter.Contains {
		return column + " LIKE " + b.arg("%"+likeEscaper.Replace(c.Text)+"%") + ` ESCAPE '\'`
	}
	return column + " = " + b.arg(c.Text)
}

// filled is text, in the words of the index of those certificates that have any.
func (b *builder) filled(folded, column string, c filter.Cmp) string {
	if c.Text == "" {
		return b.text(folded, c)
	}
	return column + " <> '' AND " + b.text(folded, c)
}

func (b *builder) number(column string, c filter.Cmp) string {
	switch c.Op {
	case filter.Lt:
		return column + " < " + b.arg(c.High)
	case filter.Ge:
		return column + " >= " + b.arg(c.Low)
	}
	return column + " >= " + b.arg(c.Low) + " AND " + column + " < " + b.arg(c.High)
}

// known is number without the times that nobody can read. They are after all others, and
// SQLite looks at the first of two upper bounds alone, so there is one.
func (b *builder) known(column string, c filter.Cmp) string {
	if c.Op == filter.Ge {
		return column + " < " + b.arg(inventory.Never) + " AND " + b.number(column, c)
	}
	return b.number(column, c)
}

// status follows inventory.StatusAt.
func (b *builder) status(c filter.Cmp) (string, error) {
	status := inventory.Status(c.Text)
	if status == inventory.StatusRevoked {
		return "c.revoked <> 0", nil
	}
	never, now := b.arg(inventory.Never), b.arg(c.Now)
	dated := "c.revoked = 0 AND c.not_before < " + never + " AND c.not_after < " + never
	running := dated + " AND c.not_after >= " + now
	switch status {
	case inventory.StatusUnknown:
		// now is compared too, so that every argument occurs: PostgreSQL infers its type from there.
		return "c.revoked = 0 AND (c.not_before = " + never + " OR c.not_after = " + never + ") AND " + now + " < " + never, nil
	case inventory.StatusExpired:
		return "c.revoked = 0 AND c.not_before < " + never + " AND c.not_after < " + now, nil
	case inventory.StatusPending:
		return running + " AND c.not_before > " + now, nil
	case inventory.StatusExpiring: // the end is near: else the index would be read to its end
		near := b.arg(c.Now + inventory.LongestNotice.Microseconds())
		return "c.revoked = 0 AND c.not_before < " + never + " AND c.not_after <= " + near + " AND c.not_after >= " + now +
			" AND c.not_before <= " + now + " AND c.expiring <= " + now, nil
	case inventory.StatusValid:
		return running + " AND c.not_before <= " + now + " AND c.expiring > " + now, nil
	}
	return "", fmt.Errorf("filter: no status %q", c.Text)
}
