package acme

import (
	"net/http"
	"time"

	"chatelaine.dev/internal/lifecycle/acme"
)

// authorization is RFC 8555 section 7.1.4.
type authorization struct {
	Identifier acme.Identifier `json:"identifier"`
	Status     acme.Status     `json:"status"`
	Expires    time.Time       `json:"expires"`
	Challenges []challenge     `json:"challenges"`
	Wildcard   bool            `json:"wildcard,omitzero"`
}

// challenge is RFC 8555 section 7.1.5 and 8.
type challenge struct {
	Type      string      `json:"type"`
	URL       string      `json:"url"`
	Status    acme.Status `json:"status"`
	Token     string      `json:"token"`
	Validated time.Time   `json:"validated,omitzero"`
	Error     *document   `json:"error,omitempty"`
}

func (x *exchange) challenge(a acme.Authorization, c acme.Challenge) challenge {
	return challenge{c.Type, x.url("challenge/%s/%s", a.ID, c.Type), c.Status, c.Token, c.Validated, documentOf(c.Problem, 0)}
}

func (x *exchange) authorization(status int, a acme.Authorization) error {
	out := authorization{Identifier: a.Identifier, Status: a.Status, Expires: a.Expires, Wildcard: a.Wildcard, Challenges: []challenge{}}
	for _, c := range a.Challenges {
		// One that was decided shows how alone (RFC 8555 section 7.1.4).
		if a.Status == acme.Pending || c.Status != acme.Pending {
			out.Challenges = append(out.Challenges, x.challenge(a, c))
		}
	}
	x.w.Header().Set("Location", x.url("authorization/%s", a.ID))
	return x.answer(status, out)
}

// newAuthorization is RFC 8555 section 7.4.1.
func (o *door) newAuthorization(x *exchange) error {
	r, err := o.signed(x, acme.ByAccount)
	if err != nil {
		return err
	}
	var in struct {
		Identifier acme.Identifier `json:"identifier"`
	}
	if err := read(r, &in); err != nil {
		return err
	}
	a, err := o.Service.NewAuthorization(x.q.Context(), r, in.Identifier)
	if err != nil {
		return err
	}
	return x.authorization(http.StatusCreated, a)
}

// authorization reads or deactivates (RFC 8555 sections 7.5 and 7.5.2).
func (o *door) authorization(x *exchange) error {
	r, err := o.signed(x, acme.ByAccount)
	if err != nil {
		return err
	}
	id := x.q.PathValue("id")
	var a acme.Authorization
	if len(r.Payload) == 0 {
		a, err = o.Service.GetAuthorization(x.q.Context(), r, id)
	} else {
		var in struct {
			Status acme.Status `json:"status"`
		}
		if err := read(r, &in); err != nil {
			return err
		}
		if in.Status != acme.Deactivated {
			return &acme.Problem{Type: "malformed", Detail: "the status of an authorization can be changed to deactivated alone"}
		}
		a, err = o.Service.DeactivateAuthorization(x.q.Context(), r, id)
	}
	if err != nil {
		return err
	}
	return x.authorization(http.StatusOK, a)
}

// challenge reads one, or has it performed (RFC 8555 section 7.5.1).
func (o *door) challenge(x *exchange) error {
	r, err := o.signed(x, acme.ByAccount)
	if err != nil {
		return err
	}
	serve := o.Service.GetChallenge
	if len(r.Payload) > 0 {
		if err := read(r, &struct{}{}); err != nil {
			return err
		}
		serve = o.Service.Respond
	}
	a, c, err := serve(x.q.Context(), r, x.q.PathValue("id"), x.q.PathValue("type"))
	if err != nil {
		return err
	}
	x.w.Header().Add("Link", link(x.url("authorization/%s", a.ID), "up"))
	return x.answer(http.StatusOK, x.challenge(a, c))
}
