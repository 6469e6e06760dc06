package certificates

import (
	"context"
	"strconv"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/object"
)

// item is CertificateItem and DeletedCertificateItem. Unlike other kinds', it does not
// tell the recovery level (contract §2.6).
type item struct {
	ID         string            `json:"id"`
	Thumbprint string            `json:"x5t,omitempty"`
	Attributes wire.Attributes   `json:"attributes"`
	Tags       map[string]string `json:"tags,omitempty"`
	wire.Deleted
}

func describeItem(q *wire.Request, e object.Entry, version string) (item, error) {
	c, err := certificates.Of(e)
	if err != nil {
		return item{}, err
	}
	a := wire.AttributesOf(c.Entry)
	a.RecoveryLevel, a.RecoverableDays = "", nil
	return item{ID: q.ID(object.Certificates, c.Head.Name, version), Thumbprint: thumbprint(c), Attributes: a, Tags: c.Version.Tags}, nil
}

// list is GET /certificates[?includePending]: a page of CertificateItem.
func (d door) list(ctx context.Context, q *wire.Request) (wire.Response, error) {
	p, pending, err := page(q)
	if err != nil {
		return wire.Response{}, err
	}
	l, err := d.s.List(ctx, q.Caller, q.Vault, p, pending)
	res, err := wire.Listed(q, "/certificates", l, err, func(e object.Entry) (item, error) { return describeItem(q, e, "") })
	return keepPending(res, pending), err
}

// versions is GET /certificates/{name}/versions: a page of CertificateItem with versions.
func (d door) versions(ctx context.Context, q *wire.Request) (wire.Response, error) {
	p, err := q.Page()
	if err != nil {
		return wire.Response{}, err
	}
	l, err := d.s.Versions(ctx, q.Caller, q.Ref(), p)
	return wire.Listed(q, "/certificates/"+q.Name+"/versions", l, err, func(e object.Entry) (item, error) {
		return describeItem(q, e, e.Version.ID)
	})
}

// listDeleted is GET /deletedcertificates[?includePending]: a page of DeletedCertificateItem.
func (d door) listDeleted(ctx context.Context, q *wire.Request) (wire.Response, error) {
	p, pending, err := page(q)
	if err != nil {
		return wire.Response{}, err
	}
	l, err := d.s.ListDeleted(ctx, q.Caller, q.Vault, p, pending)
	res, err := wire.Listed(q, "/deletedcertificates", l, err, func(e object.Entry) (item, error) {
		i, err := describeItem(q, e, "")
		i.Deleted = q.DeletedOf(object.Certificates, e)
		return i, err
	})
	return keepPending(res, pending), err
}

// page reads the page and includePending.
func page(q *wire.Request) (p object.Page, pending bool, err error) {
	if p, err = q.Page(); err != nil {
		return p, false, err
	}
	text := q.Query.Get("includePending")
	if text == "" {
		return p, false, nil
	}
	if pending, err = strconv.ParseBool(text); err != nil {
		return p, false, fault.New(fault.Invalid, "BadParameter", "includePending must be true or false.")
	}
	return p, pending, nil
}

// keepPending makes the next page's address ask for pending certificates as well.
func keepPending(res wire.Response, pending bool) wire.Response {
	if l, ok := res.Body.(wire.List[item]); ok && pending && l.NextLink != nil {
		next := *l.NextLink + "&includePending=true"
		l.NextLink = &next
		res.Body = l
	}
	return res
}
