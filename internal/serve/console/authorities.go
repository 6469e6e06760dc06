package console

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/pki/signature"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
	"chatelaine.dev/internal/vault/keystore"
)

// Authorities lists our CAs; *authority.Service is one.
type Authorities interface {
	List(ctx context.Context, c access.Caller, after string, limit int) ([]authority.Authority, error)
	Get(ctx context.Context, c access.Caller, id string) (authority.Authority, error)
	Crosses(ctx context.Context, c access.Caller, id string) ([]authority.Cross, error)
	Succeed(ctx context.Context, c access.Caller, id string, spec authority.Spec) (authority.Authority, error)
}

// maxAuthorities is how many the picture has room for.
const maxAuthorities = 100

// authorityPages adds the page of the authorities.
func (c *Console) authorityPages(g *view.Group) {
	if c.Authorities == nil {
		return
	}
	c.page("GET /authorities", c.authorities)
	c.page("GET /authorities/{id}/succeed", c.askSucceed)
	c.page("POST /authorities/{id}/succeed", c.succeed)
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
		if rollsOver(a) {
			row.RollOver = authorityPath(a.ID) + "/succeed"
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

func authorityPath(id string) string { return "/authorities/" + url.PathEscape(id) }

// rollsOver reports whether a successor can be made here. One that somebody else certified
// needs a certificate from there first.
func rollsOver(a authority.Authority) bool {
	return a.State != authority.Pending && a.Successor == "" && len(a.Above) == 0
}

// succeedForm asks for what tells a successor from the old authority.
func (c *Console) succeedForm(v *visit) (page.Form, authority.Authority, error) {
	a, err := c.Authorities.Get(v.ctx(), v.caller, v.r.PathValue("id"))
	if err != nil {
		return page.Form{}, a, err
	}
	keys := []page.Option{{Text: "as it is now"}}
	for _, k := range keystore.AuthorityNames(a.Parent == "") {
		keys = append(keys, page.Option{Value: k, Text: k})
	}
	above := "itself"
	if a.Parent != "" {
		above = a.Parent
	}
	return page.Form{
		Crumbs: []view.Link{{Text: "Authorities", Href: "/authorities"}}, Title: "Roll " + a.ID + " over",
		Lead: "A new authority, with a key, a certificate and a CRL of its own, issues in the place of this one from the same moment. Profiles keep the old name. " +
			"What was issued stays valid, and the old one signs its CRLs until it expires. \"chatelaine authority enable\" takes the step back.",
		Preview: []page.Prop{{Name: "Now", Text: view.Clean(a.Subject)}, {Name: "Signed by", Text: above}, {Name: "Expires", Text: view.Day(a.NotAfter)}},
		Action:  authorityPath(a.ID) + "/succeed", Submit: "Make the successor", Cancel: "/authorities",
		Fields: []page.Field{
			{Name: "id", Label: "Id of the successor", Help: "Lower-case letters, digits and hyphens; never used before.", Value: a.ID + "-" + strconv.Itoa(v.now.Year()), Required: true},
			{Name: "name", Label: "Common name", Help: "What people will see as the issuer.", Required: true},
			{Name: "key", Label: "Key", Kind: "choice", Options: keys},
			{Name: "days", Label: "Valid for how many days", Kind: "number", Help: "Empty: as long as this one was."},
		},
	}, a, nil
}

func (c *Console) askSucceed(v *visit) error {
	f, _, err := c.succeedForm(v)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/authorities")))
}

func (c *Console) succeed(v *visit) error {
	f, a, err := c.succeedForm(v)
	if err != nil {
		return err
	}
	spec := authority.Spec{ID: v.form("id"), CommonName: v.form("name")}
	if k := v.form("key"); k != "" {
		if spec.Key, err = keystore.AuthoritySpec(k); err != nil {
			return v.again(f, err)
		}
	}
	if d := v.form("days"); d != "" {
		n, err := strconv.Atoi(d)
		if err != nil || n < 1 || n > 10980 {
			return v.again(f, fault.New(fault.Invalid, "BadValidity", "An authority is valid for 1 to 10980 days."))
		}
		spec.Validity = time.Duration(n) * 24 * time.Hour
	}
	if _, err := c.Authorities.Succeed(v.ctx(), v.caller, a.ID, spec); err != nil {
		return v.again(f, err)
	}
	return v.goTo("/authorities?did=succeeded")
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
