package console

import (
	"net/http"

	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// revocable reports whether a page offers to revoke the certificate: whoever issued it
// must be somebody who can.
func revocable(d inventory.Detail) bool {
	return !d.SelfSigned && !d.CA && d.RevokedAt.IsZero() && d.Status != inventory.StatusExpired && d.Trust == inventory.Private
}

// askRevoke shows what a revocation hits and asks for the name.
func (c *Console) askRevoke(v *visit) error {
	f, _, err := c.revokeForm(v)
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/certificates")))
}

func (c *Console) revokeForm(v *visit) (page.Form, inventory.Detail, error) {
	d, err := c.Inventory.Get(v.ctx(), v.caller, v.r.PathValue("sha256"))
	if err != nil {
		return page.Form{}, d, err
	}
	name, here := nameOf(d.Name, d.Subject, d.SHA256), certificatePath(d.SHA256)
	used := 0
	for _, i := range d.Installations {
		if i.Current && i.State != inventory.Missing {
			used++
		}
	}
	f := page.Form{
		Crumbs: []view.Link{{Text: "Certificates", Href: "/certificates"}, {Text: name, Href: here}}, Title: "Revoke " + name,
		Lead: "Whoever looks at revocation stops trusting it at once. It cannot be taken back.",
		Preview: []page.Prop{
			{Name: "Serial", Text: view.Clean(d.Serial), Mono: true}, {Name: "Expires", Text: view.Relative(v.now, d.NotAfter)},
			{Name: "Still in use at", Link: view.Link{Text: view.Plural(used, "place", "places"), Href: here + "#where"}}, {Name: "Owner", Text: view.Clean(d.Owner)},
		},
		Action: here + "/revoke", Danger: true, Submit: "Revoke", Cancel: here,
		Fields: []page.Field{
			{Name: "reason", Label: "Reason", Kind: "choice", Required: true, Options: []page.Option{
				{Value: "superseded", Text: "It was replaced"}, {Value: "keyCompromise", Text: "Its key may be known to others"}, {Value: "cessationOfOperation", Text: "It is not needed any more"},
				{Value: "affiliationChanged", Text: "What it says of its owner is not true any more"}, {Value: "privilegeWithdrawn", Text: "Its owner may not have it any more"}, {Value: "unspecified", Text: "Another reason"},
			}},
			{Name: "who", Label: "Who decides", Kind: "choice", Required: true, Options: []page.Option{
				{Value: "now", Text: "I do: revoke it now"}, {Value: "ask", Text: "Somebody else: make a request that waits for approval"},
			}},
			{Name: "comment", Label: "Why", Help: "For the approver and the record."},
			typed(name),
		},
	}
	if used > 0 {
		f.Warning = view.Plural(used, "place still serves it", "places still serve it") + ". Renew it first, or what connects there stops working."
	}
	return f, d, nil
}

// revoke revokes, or asks somebody else to agree to it.
func (c *Console) revoke(v *visit) error {
	f, d, err := c.revokeForm(v)
	if err != nil {
		return err
	}
	if !v.confirmed(&f, nameOf(d.Name, d.Subject, d.SHA256)) {
		return v.again(f, unconfirmed())
	}
	draft := enrollment.RevokeDraft{SHA256: d.SHA256, Comment: v.form("comment")}
	set(&draft.Reason, v.form("reason"))
	ask := c.Requests.RevokeNow
	if v.form("who") == "ask" {
		ask = c.Requests.RequestRevocation
	}
	r, err := ask(v.ctx(), v.caller, draft)
	if err != nil {
		return v.again(f, err)
	}
	return v.goTo(requestPath(r.ID) + "?did=asked")
}

// set gives a word to a field whose type belongs to a floor that a front door does not
// know; the service refuses words that do not exist.
func set[T ~string](field *T, word string) { *field = T(word) }
