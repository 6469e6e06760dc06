package console

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
	"chatelaine.dev/internal/serve/web"
)

// fail turns an error into a page, here and nowhere else: what happened, what to do
// next, and who can do it.
func (v *visit) fail(err error) {
	f := web.Fault(err)
	if f.Kind == fault.Unauthenticated {
		v.askToSignIn(f)
		return
	}
	status, p := problemOf(f)
	p.ID = v.from.Correlation
	if refusal := (*access.Refusal)(nil); errors.As(err, &refusal) {
		p.Text = "You have no role that allows " + string(refusal.Action) + " at " + string(refusal.Scope) + "."
	}
	web.EventOf(v.ctx()).Fail(err)
	if v.fragment() {
		err = v.show(status, p.Fragment())
	} else if v.caller.Principal == "" {
		err = v.show(status, p.Bare(v.shell(p.Title, "")))
	} else {
		err = v.show(status, p.Show(v.shell(p.Title, "")))
	}
	if err != nil {
		web.EventOf(v.ctx()).Add(slog.Any("draw", err))
		http.Error(v.w, "internal error", http.StatusInternalServerError)
	}
}

// problemOf words a kind of error.
func problemOf(f *fault.Error) (int, page.Problem) {
	p := page.Problem{Text: view.Clean(f.Message), Links: []view.Link{{Text: "Overview", Href: "/"}}}
	switch f.Kind {
	case fault.Denied:
		p.Title, p.Do = "You may not do this", "Ask for a role that allows it."
		p.Who = "Anybody with the role Administrator of Chatelaine can assign one. The refusal is in the audit trail under the request below."
		return http.StatusForbidden, p
	case fault.NotFound:
		p.Title, p.Do = "It is not here", "Look for it in a list, or search for its name."
		p.Links = append(p.Links, view.Link{Text: "Certificates", Href: "/certificates"})
		return http.StatusNotFound, p
	case fault.Conflict:
		p.Title, p.Do = "It is not possible now", "Load the page again: something else may have changed it."
		return http.StatusConflict, p
	case fault.Invalid:
		p.Title, p.Do = "That cannot be right", "Correct it and send it again."
		return http.StatusUnprocessableEntity, p
	case fault.Limited:
		p.Title, p.Do = "Too much, or too often", "Wait a little and try again."
		return http.StatusTooManyRequests, p
	case fault.Unavailable:
		p.Title, p.Do = "Something that is needed is away", "Try again in a minute. Whether it was done is not known; look before you repeat it."
		p.Who = "Whoever runs this server."
		return http.StatusServiceUnavailable, p
	}
	p.Title, p.Text = "Something is broken here", "It is not your fault, and nothing was half done: a change is stored as a whole or not at all."
	p.Do, p.Who = "Try again. If it stays, report it with the request below.", "Whoever runs this server: its log has the cause under the request below."
	return http.StatusInternalServerError, p
}

// askToSignIn leads to the door, and from there back to where the visit wanted to go.
func (v *visit) askToSignIn(f *fault.Error) {
	door := "/sign-in"
	if v.r.Method == http.MethodGet && !v.fragment() && v.r.URL.Path != "/" {
		door += "?" + url.Values{"next": {v.r.URL.RequestURI()}}.Encode()
	}
	if f.Code == "SessionEnded" {
		v.forget(sessionCookie)
	}
	_ = v.goTo(door) // writes headers only
}

// nowhere answers every address that is not a page.
func (c *Console) nowhere(v *visit) error {
	return none("There is no page at " + view.Clean(v.r.URL.Path) + ".")
}

// foreign answers what another site made a browser send.
func (c *Console) foreign(w http.ResponseWriter, r *http.Request) {
	c.serve(func(*visit) error {
		return fault.New(fault.Denied, "CrossOrigin", "This form was sent by another site, so it was not carried out. Open the page here and send it from there.")
	}).ServeHTTP(w, r)
}
