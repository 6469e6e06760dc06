package console

import (
	"net/http"
	"strings"

	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// endpoints shows every TLS service that answered, with the certificate that it serves.
func (c *Console) endpoints(v *visit) error {
	q := inventory.EndpointQuery{Source: inventory.Network, After: v.query("after"), Limit: pageSize + 1}
	list, err := c.Inventory.Endpoints(v.ctx(), v.caller, q)
	if err != nil {
		return err
	}
	p := page.Endpoints{Lead: "where a handshake showed a certificate", Empty: view.Nothing{
		Title: "No endpoint was seen yet.", Text: "A scan connects to hosts and ports, and shows here what answers.", Actions: c.begin(),
	}}
	next := ""
	if len(list) > pageSize {
		list = list[:pageSize]
		next = list[pageSize-1].ID
	}
	served, err := v.served(list)
	if err != nil {
		return err
	}
	for _, i := range list {
		p.Rows = append(p.Rows, v.endpointRow(i, served[i.SHA256]))
	}
	p.Pager = v.pager("after", q.After, next, len(list), 0)
	p.Pager.Shown = view.Plural(len(list), "endpoint", "endpoints") + " shown"
	s := v.shell("Endpoints", "/endpoints")
	return v.show(http.StatusOK, p.Show(s))
}

// served are the certificates that installations show, in one question.
func (v *visit) served(list []inventory.Installation) (map[string]inventory.Summary, error) {
	found := map[string]inventory.Summary{}
	var conditions []string
	for _, i := range list {
		if _, asked := found[i.SHA256]; !asked {
			found[i.SHA256] = inventory.Summary{}
			conditions = append(conditions, "sha256 = "+i.SHA256)
		}
	}
	if len(conditions) == 0 {
		return found, nil
	}
	answer, err := v.c.Inventory.List(v.ctx(), v.caller, inventory.ListOptions{Filter: strings.Join(conditions, " or "), Limit: len(conditions)})
	for _, s := range answer.Certificates {
		found[s.SHA256] = s
	}
	return found, err
}

func (v *visit) endpointRow(i inventory.Installation, d inventory.Summary) page.EndpointRow {
	row := page.EndpointRow{
		Address: view.Clean(i.Place.String()), State: stateChip(i.State), At: i.LastSeen, Seen: view.Relative(v.now, i.LastSeen),
		Certificate: view.Link{Text: nameOf(d.Name, d.Subject, i.SHA256), Href: certificatePath(i.SHA256)},
		Life:        lifeOf(v.now, d.NotBefore, d.NotAfter),
	}
	if i.SNI != "" && i.SNI != i.Host {
		row.Name = view.Clean(i.SNI)
	}
	if i.TLS != nil {
		row.TLS = view.Clean(i.TLS.Version)
	}
	switch {
	case d.SelfSigned:
		row.Chain = "self-signed"
	case len(i.Chain) == 0:
		row.Chain = "sent without issuer"
	default:
		row.Chain = "with " + view.Plural(len(i.Chain), "issuer", "issuers")
	}
	return row
}
