package acme

import (
	"encoding/base64"
	"net/http"
	"time"

	"chatelaine.dev/internal/lifecycle/acme"
)

// order is RFC 8555 section 7.1.3.
type order struct {
	Status         acme.Status       `json:"status"`
	Expires        time.Time         `json:"expires"`
	Identifiers    []acme.Identifier `json:"identifiers"`
	Profile        string            `json:"profile,omitempty"`
	NotBefore      time.Time         `json:"notBefore,omitzero"`
	NotAfter       time.Time         `json:"notAfter,omitzero"`
	Replaces       string            `json:"replaces,omitempty"`
	Error          *document         `json:"error,omitempty"`
	Authorizations []string          `json:"authorizations"`
	Finalize       string            `json:"finalize"`
	Certificate    string            `json:"certificate,omitempty"`
}

func (x *exchange) order(status int, o acme.Order) error {
	at := x.url("order/%s", o.ID)
	out := order{
		Status: o.Status, Expires: o.Expires, Identifiers: o.Identifiers, NotBefore: o.NotBefore, NotAfter: o.NotAfter, Replaces: o.Replaces,
		Error: documentOf(o.Problem, 0), Finalize: at + "/finalize",
	}
	if o.Named {
		out.Profile = o.Profile
	}
	for _, id := range o.Authorizations {
		out.Authorizations = append(out.Authorizations, x.url("authorization/%s", id))
	}
	if o.Status == acme.Valid {
		out.Certificate = x.url("certificate/%s", o.ID)
	}
	x.w.Header().Set("Location", at)
	x.retryAfter(o.RetryAfter)
	return x.answer(status, out)
}

// newOrder is RFC 8555 section 7.4.
func (o *door) newOrder(x *exchange) error {
	r, err := o.signed(x, acme.ByAccount)
	if err != nil {
		return err
	}
	var in struct {
		Identifiers []acme.Identifier `json:"identifiers"`
		NotBefore   time.Time         `json:"notBefore"`
		NotAfter    time.Time         `json:"notAfter"`
		Replaces    string            `json:"replaces"`
		Profile     string            `json:"profile"`
	}
	if err := read(r, &in); err != nil {
		return err
	}
	made, err := o.Service.NewOrder(x.q.Context(), r, acme.OrderDraft{
		Identifiers: in.Identifiers, NotBefore: in.NotBefore, NotAfter: in.NotAfter, Replaces: in.Replaces, Profile: in.Profile,
	})
	if err != nil {
		return err
	}
	return x.order(http.StatusCreated, made)
}

func (o *door) order(x *exchange) error {
	r, err := o.signed(x, acme.ByAccount)
	if err != nil {
		return err
	}
	if err := empty(r); err != nil {
		return err
	}
	found, err := o.Service.GetOrder(x.q.Context(), r, x.q.PathValue("id"))
	if err != nil {
		return err
	}
	return x.order(http.StatusOK, found)
}

func (o *door) finalize(x *exchange) error {
	r, err := o.signed(x, acme.ByAccount)
	if err != nil {
		return err
	}
	var in struct {
		CSR string `json:"csr"`
	}
	if err := read(r, &in); err != nil {
		return err
	}
	der, err := base64.RawURLEncoding.DecodeString(in.CSR)
	if err != nil {
		return &acme.Problem{Type: "badCSR", Detail: "the CSR is base64url of DER, without padding"}
	}
	done, err := o.Service.Finalize(x.q.Context(), r, x.q.PathValue("id"), der)
	if err != nil {
		return err
	}
	return x.order(http.StatusOK, done)
}
