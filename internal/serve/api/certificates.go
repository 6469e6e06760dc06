package api

import (
	"context"
	"net/http"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/inventory"
)

func (a *door) certificateOperations() {
	const tag = "certificates"
	register(a, tag, operation{id: "listCertificates", method: http.MethodGet, path: "/certificates", summary: "List certificates of the inventory",
		about: "The filter is a language: expires < 90d and not (issuer ~ \"Example CA\" or stage = managed). " +
			"A certificate that is there throughout is on exactly one page, whatever changes meanwhile.",
		action: inventory.Read, scope: "/"}, a.listCertificates)
	register(a, tag, operation{id: "countCertificates", method: http.MethodGet, path: "/certificates/count", summary: "Count the certificates that a filter matches",
		action: inventory.Read, scope: "/"}, a.countCertificates)
	register(a, tag, operation{id: "getCertificate", method: http.MethodGet, path: "/certificates/{sha256}",
		summary: "Get a certificate with its installations, findings, history and chain",
		action:  inventory.Read, scope: "/"}, a.getCertificate)
}

// Selection is a filter of the inventory.
type Selection struct {
	Filter string `query:"filter" maxLength:"4096" example:"expires < 30d and stage != managed"`
}

func (a *door) listCertificates(ctx context.Context, c access.Caller, in *struct {
	Paging
	Selection
	Sort string `query:"sort" maxLength:"40" doc:"name, issuer, expires, issued, lifetime, keysize, grade, firstseen or lastseen; - before it for the other direction" default:"expires"`
}) (*page[inventory.Summary], error) {
	p, err := a.Inventory.List(ctx, c, inventory.ListOptions{Filter: in.Filter, Sort: in.Sort, Cursor: in.After, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(p.Certificates, p.Next), nil
}

// total is how many there are.
type total struct {
	Count int64 `json:"count"`
}

func (a *door) countCertificates(ctx context.Context, c access.Caller, in *Selection) (*answer[total], error) {
	n, err := a.Inventory.Count(ctx, c, in.Filter)
	return answerOf(total{n}, err)
}

// certificateModel is a certificate of the inventory with its content.
type certificateModel struct {
	inventory.Detail
	PEM string `json:"pem"`
}

// CertificatePath names a certificate of the inventory.
type CertificatePath struct {
	SHA256 string `path:"sha256" maxLength:"100" doc:"64 hex digits"`
}

func (a *door) getCertificate(ctx context.Context, c access.Caller, in *CertificatePath) (*answer[certificateModel], error) {
	d, err := a.Inventory.Get(ctx, c, in.SHA256)
	if err != nil {
		return nil, err
	}
	return &answer[certificateModel]{certificateModel{d, pemOf(d.DER)}}, nil
}
