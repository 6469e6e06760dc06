package console

import (
	"context"
	"crypto/x509"
	"net/http"
	"strconv"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/signature"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// Authorities lists our CAs; *authority.Service is one.
type Authorities interface {
	List(ctx context.Context, c access.Caller, after string, limit int) ([]authority.Authority, error)
	Crosses(ctx context.Context, c access.Caller, id string) ([]authority.Cross, error)
}

// maxAuthorities is how many the picture has room for.
const maxAuthorities = 100

// authorityPages adds the page of the authorities.
func (c *Console) authorityPages(g *view.Group) {
	if c.Authorities == nil {
		return
	}
	c.page("GET /authorities", c.authorities)
	g.Entries = append(g.Entries, view.Entry{Name: "Authorities", Href: "/authorities"})
}

// authorities draws who certified whom.
func (c *Console) authorities(v *visit) error {
	list, err := c.Authorities.List(v.ctx(), v.caller, "", maxAuthorities+1)
	if err != nil {
		return err
	}
	p := page.Authorities{Lead: view.Plural(min(len(list), maxAuthorities), "authority", "authorities"), Tree: view.Tree{Label: "Who certified whom"}}
	if len(list) > maxAuthorities {
		list = list[:maxAuthorities]
		p.More = "Only the first " + strconv.Itoa(maxAuthorities) + " are shown; \"chatelaine authority list\" shows all."
	}
	list = topDown(list)
	index := map[string]int{"": -1}
	for i, a := range list {
		index[a.ID] = i
	}
	for _, a := range list {
		crosses, err := c.Authorities.Crosses(v.ctx(), v.caller, a.ID)
		if err != nil {
			return err
		}
		row := page.AuthorityRow{ID: a.ID, Subject: view.Clean(a.Subject), Above: view.Or(a.Parent, "itself"), State: authorityState(v, a), Life: lifeOf(v.now, a.NotBefore, a.NotAfter)}
		node := view.TreeNode{Name: a.ID, Href: "#authority-" + a.ID, Tone: row.State.Tone, Parent: -1}
		if above, ok := index[a.Parent]; ok {
			node.Parent = above
		}
		if a.State == authority.Pending {
			row.Above, row.Life = "nobody yet", view.Life{}
		}
		if own, err := signature.ParseCertificate(a.Certificate); err == nil {
			row.Key, row.Limits = view.Or(profile.KeyName(own.PublicKey), own.PublicKeyAlgorithm.String()), limitsOf(own)
			if len(a.Above) > 0 {
				row.Above = view.Clean(own.Issuer.String())
			}
		}
		node.Detail = strings.TrimPrefix(row.Key+", "+row.State.Word, ", ")
		var also []string
		for _, x := range crosses {
			if x.Revoked || v.now.After(x.NotAfter) {
				continue
			}
			if by, ok := index[x.Issuer]; ok && by >= 0 {
				node.Also = append(node.Also, by)
			}
			also = append(also, view.Or(x.Issuer, "somebody else"))
		}
		row.Also = strings.Join(also, ", ")
		p.Rows, p.Tree.Nodes = append(p.Rows, row), append(p.Tree.Nodes, node)
	}
	return v.show(http.StatusOK, p.Show(v.shell("Authorities", "/authorities")))
}

// topDown puts every authority behind the one that signed it.
func topDown(list []authority.Authority) []authority.Authority {
	below := map[string][]authority.Authority{}
	there := map[string]bool{}
	for _, a := range list {
		there[a.ID] = true
	}
	for _, a := range list {
		parent := a.Parent
		if !there[parent] {
			parent = ""
		}
		below[parent] = append(below[parent], a)
	}
	out := make([]authority.Authority, 0, len(list))
	var walk func(id string)
	walk = func(id string) {
		for _, a := range below[id] {
			out = append(out, a)
			walk(a.ID)
		}
	}
	walk("")
	return out
}

func authorityState(v *visit, a authority.Authority) view.Chip {
	switch a.State {
	case authority.Active:
		if v.now.After(a.NotAfter) {
			return view.Chip{Tone: view.Bad, Word: "expired"}
		}
		return view.Chip{Tone: view.OK, Word: "issues"}
	case authority.Revoked:
		return view.Chip{Tone: view.Bad, Word: "revoked"}
	case authority.Superseded:
		return view.Chip{Tone: view.None, Word: "followed by " + a.Successor}
	case authority.Pending:
		return view.Chip{Tone: view.Warn, Word: "waits for its certificate"}
	}
	return view.Chip{Tone: view.Warn, Word: string(a.State)}
}

// limitsOf are the path length and the name constraints of an authority in words.
func limitsOf(c *x509.Certificate) string {
	var words []string
	if c.MaxPathLen > 0 || c.MaxPathLenZero {
		words = append(words, "path length "+strconv.Itoa(c.MaxPathLen))
	}
	for _, side := range []struct {
		word string
		list [][]string
		nets int
	}{
		{"only", [][]string{c.PermittedDNSDomains, c.PermittedEmailAddresses, c.PermittedURIDomains}, len(c.PermittedIPRanges)},
		{"not", [][]string{c.ExcludedDNSDomains, c.ExcludedEmailAddresses, c.ExcludedURIDomains}, len(c.ExcludedIPRanges)},
	} {
		var names []string
		for _, l := range side.list {
			names = append(names, view.CleanAll(l, 5)...)
		}
		if side.nets > 0 {
			names = append(names, view.Plural(side.nets, "network", "networks"))
		}
		if len(names) > 0 {
			words = append(words, side.word+" "+strings.Join(names, ", "))
		}
	}
	return strings.Join(words, "; ")
}
