package acme

import (
	"encoding/json/jsontext"
	"net/http"
	"net/url"

	"chatelaine.dev/internal/lifecycle/acme"
)

// account is RFC 8555 section 7.1.2.
type account struct {
	Status   acme.Status    `json:"status"`
	Contacts []string       `json:"contact,omitempty"`
	Terms    bool           `json:"termsOfServiceAgreed,omitzero"`
	Binding  jsontext.Value `json:"externalAccountBinding,omitzero"`
	Orders   string         `json:"orders"`
}

func (x *exchange) account(status int, a acme.Account) error {
	at := x.url("account/%s", a.ID)
	x.w.Header().Set("Location", at)
	return x.answer(status, account{a.Status, a.Contacts, !a.Terms.IsZero(), a.Binding, at + "/orders"})
}

// newAccount is RFC 8555 section 7.3.
func (o *door) newAccount(x *exchange) error {
	r, err := o.signed(x, acme.ByKey)
	if err != nil {
		return err
	}
	var in struct {
		Contacts     []string       `json:"contact"`
		Terms        bool           `json:"termsOfServiceAgreed"`
		OnlyExisting bool           `json:"onlyReturnExisting"`
		Binding      jsontext.Value `json:"externalAccountBinding"`
	}
	if err := read(r, &in); err != nil {
		return err
	}
	a, made, err := o.Service.NewAccount(x.q.Context(), r, acme.AccountDraft{Contacts: in.Contacts, Terms: in.Terms, OnlyExisting: in.OnlyExisting, Binding: in.Binding})
	if err != nil {
		if o.Terms != "" {
			x.w.Header().Add("Link", link(o.Terms, "terms-of-service"))
		}
		return err
	}
	status := http.StatusOK
	if made {
		status = http.StatusCreated
	}
	return x.account(status, a)
}

// account reads, changes or deactivates (RFC 8555 sections 7.3.2 and 7.3.6).
func (o *door) account(x *exchange) error {
	r, err := o.own(x)
	if err != nil {
		return err
	}
	if len(r.Payload) == 0 {
		return x.account(http.StatusOK, r.Account)
	}
	var in struct {
		Status   acme.Status `json:"status"`
		Contacts []string    `json:"contact"`
	}
	if err := read(r, &in); err != nil {
		return err
	}
	a := r.Account
	switch in.Status {
	case acme.Deactivated:
		a, err = o.Service.DeactivateAccount(x.q.Context(), r)
	case "", acme.Valid:
		a, err = o.Service.UpdateAccount(x.q.Context(), r, in.Contacts)
	default:
		err = &acme.Problem{Type: "malformed", Detail: "the status of an account can be changed to deactivated alone"}
	}
	if err != nil {
		return err
	}
	return x.account(http.StatusOK, a)
}

// own wants the account of the path to be the one that signs.
func (o *door) own(x *exchange) (acme.Request, error) {
	r, err := o.signed(x, acme.ByAccount)
	if err == nil && r.Account.ID != x.q.PathValue("id") {
		err = &acme.Problem{Type: "unauthorized", Detail: "this is not the account that signed the request"}
	}
	return r, err
}

// orders is the list of RFC 8555 section 7.1.2.1.
func (o *door) orders(x *exchange) error {
	r, err := o.own(x)
	if err != nil {
		return err
	}
	if err := empty(r); err != nil {
		return err
	}
	ids, next, err := o.Service.OrdersOf(x.q.Context(), r, x.q.URL.Query().Get("before"))
	if err != nil {
		return err
	}
	out := struct {
		Orders []string `json:"orders"`
	}{}
	for _, id := range ids {
		out.Orders = append(out.Orders, x.url("order/%s", id))
	}
	if next != "" {
		x.w.Header().Add("Link", link(x.url("account/%s/orders?before=%s", r.Account.ID, url.QueryEscape(next)), "next"))
	}
	return x.answer(http.StatusOK, out)
}

// keyChange is RFC 8555 section 7.3.5.
func (o *door) keyChange(x *exchange) error {
	r, err := o.signed(x, acme.ByAccount)
	if err != nil {
		return err
	}
	a, err := o.Service.ChangeKey(x.q.Context(), r)
	if err != nil {
		return err
	}
	return x.account(http.StatusOK, a)
}
