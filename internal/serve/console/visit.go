package console

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/session"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/console/doors"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
	"chatelaine.dev/internal/serve/web"
)

// visit is one request of a browser.
type visit struct {
	c      *Console
	w      http.ResponseWriter
	r      *http.Request
	now    time.Time
	from   access.Origin
	caller access.Caller // who is signed in; zero on open pages
}

// handler answers a visit. An error becomes a page that says what to do next.
type handler func(v *visit) error

// open adds a page for everybody.
func (c *Console) open(pattern string, h handler) { c.mux.Handle(pattern, c.serve(h)) }

// page adds a page for those who are signed in.
func (c *Console) page(pattern string, h handler) {
	c.open(pattern, func(v *visit) error {
		caller, err := c.Sessions.Authenticate(v.ctx(), v.cookie(sessionCookie))
		if err != nil {
			return err
		}
		v.caller = caller.From(v.from)
		web.EventOf(v.ctx()).Caller(v.caller)
		return h(v)
	})
}

func (c *Console) serve(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{c: c, w: w, r: r, now: c.Now(), from: web.Origin(r)}
		if err := h(v); err != nil {
			v.fail(err)
		}
	})
}

func (v *visit) ctx() context.Context { return v.r.Context() }

// query is a parameter of the address.
func (v *visit) query(name string) string { return v.r.URL.Query().Get(name) }

// form is a field of a posted form.
func (v *visit) form(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }

// fragment reports whether a part of a page was asked for, by htmx.
func (v *visit) fragment() bool { return v.r.Header.Get("HX-Request") == "true" }

// shell is the frame of a page. here is the path of its entry in the navigation.
func (v *visit) shell(title, here string) view.Shell {
	s := view.Shell{
		Title: title, Here: here, Person: view.Clean(view.Or(v.caller.Name, v.caller.Principal)),
		Menu: v.menu(), Assets: v.c.assets, Theme: v.theme(), Back: "/",
		Notice: noticeOf(v.query("did")),
	}
	if v.r.Method == http.MethodGet {
		s.Back = v.r.URL.RequestURI()
	}
	return s
}

// menu is the navigation with what waits there.
func (v *visit) menu() []view.Group {
	waiting, err := v.waiting()
	if err != nil { // the page itself will say what is broken
		web.EventOf(v.ctx()).Add(slog.Any("waiting", err))
	}
	if waiting == "" {
		return v.c.menu
	}
	menu := slices.Clone(v.c.menu)
	for i := range menu {
		menu[i].Entries = slices.Clone(menu[i].Entries)
		for j := range menu[i].Entries {
			if e := &menu[i].Entries[j]; e.Href == "/requests" {
				e.Href, e.Count, e.Waits = "/requests?state=pending", waiting, "wait for an approval"
			}
		}
	}
	return menu
}

// noticeOf is what is said after an action; the address names it, so that a page can be
// loaded again without doing it again.
func noticeOf(did string) view.Notice {
	switch did {
	case "signed-out":
		return view.Notice{Tone: view.OK, Title: "You are signed out."}
	case "connected":
		return view.Notice{Tone: view.OK, Title: "The connection is there.", Text: "Test it before something relies on it."}
	case "connection-works":
		return view.Notice{Tone: view.OK, Title: "The connection works."}
	case "connection-fails":
		return view.Notice{Tone: view.Bad, Title: "The connection does not work.", Text: "What the other side answered is below."}
	case "connection-deleted":
		return view.Notice{Tone: view.OK, Title: "The connection was deleted."}
	case "profile-made":
		return view.Notice{Tone: view.OK, Title: "The profile was made.", Text: "Change it as you like."}
	case "profile-changed":
		return view.Notice{Tone: view.OK, Title: "The profile was changed."}
	case "profile-deleted":
		return view.Notice{Tone: view.OK, Title: "The profile was deleted."}
	case "password-deleted":
		return view.Notice{Tone: view.OK, Title: "The password opens nothing any more."}
	case "succeeded":
		return view.Notice{Tone: view.OK, Title: "The successor issues from now on.", Text: "Profiles and requests keep the old name and lead to it. The old authority signs its CRLs until it expires."}
	case "window-opened":
		return view.Notice{Tone: view.OK, Title: "The window is open.", Text: "Clients hear of it when they next ask, within six hours."}
	case "acme-ended":
		return view.Notice{Tone: view.OK, Title: "It has ended."}
	case "event-taken":
		return view.Notice{Tone: view.OK, Title: "The endpoint took the event."}
	case "event-refused":
		return view.Notice{Tone: view.Bad, Title: "The endpoint took no event.", Text: "\"chatelaine subscription test\" says what it answered."}
	case "redelivered":
		return view.Notice{Tone: view.OK, Title: "The events are on their way again."}
	case "adopted":
		return view.Notice{Tone: view.OK, Title: "Adopted.", Text: "From now on it renews itself. Renew it now if the certificate that is there should go."}
	case "let-go":
		return view.Notice{Tone: view.OK, Title: "The lineage is gone. Its certificates are where they were."}
	case "asked":
		return view.Notice{Tone: view.OK, Title: "The request is on its way.", Text: "This page follows it."}
	case "approved":
		return view.Notice{Tone: view.OK, Title: "Approved."}
	case "denied":
		return view.Notice{Tone: view.OK, Title: "Denied."}
	case "retried":
		return view.Notice{Tone: view.OK, Title: "It is tried again from the step that failed."}
	case "campaign-deleted":
		return view.Notice{Tone: view.OK, Title: "The campaign was deleted. What it found is still in the inventory."}
	case "run-canceled":
		return view.Notice{Tone: view.OK, Title: "The run was canceled.", Text: "What it recorded until then stays."}
	case "canceled":
		return view.Notice{Tone: view.OK, Title: "The request was canceled."}
	}
	return view.Notice{}
}

// show draws a page into memory first, so that one that cannot be drawn is an error and
// not half a page.
func (v *visit) show(status int, page templ.Component) error {
	var b bytes.Buffer
	if err := page.Render(v.ctx(), &b); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b.Bytes()) // the browser has gone; there is nobody to tell
	return nil
}

// goTo answers a posted form: the browser loads the page that shows the outcome.
func (v *visit) goTo(address string) error {
	if v.fragment() {
		v.w.Header().Set("HX-Redirect", address)
		return nil
	}
	http.Redirect(v.w, v.r, address, http.StatusSeeOther)
	return nil
}

// guest is a visit as the packages of single areas know it.
type guest struct{ v *visit }

var _ doors.Visit = guest{}

func (g guest) Context() context.Context { return g.v.ctx() }
func (g guest) Caller() access.Caller    { return g.v.caller }
func (g guest) Now() time.Time           { return g.v.now }
func (g guest) Path(name string) string  { return g.v.r.PathValue(name) }
func (g guest) Query(name string) string { return g.v.query(name) }
func (g guest) Form(name string) string  { return g.v.form(name) }

// Show implements doors.Visit.
func (g guest) Show(title, here string, draw func(view.Shell) templ.Component) error {
	return g.v.show(http.StatusOK, draw(g.v.shell(title, here)))
}

// Again implements doors.Visit.
func (g guest) Again(f page.Form, err error) error { return g.v.again(f, err) }

// GoTo implements doors.Visit.
func (g guest) GoTo(address string) error { return g.v.goTo(address) }

// Save implements doors.Visit.
func (g guest) Save(name, contentType string, body []byte) error {
	g.v.w.Header().Set("Content-Type", contentType)
	g.v.w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	_, _ = g.v.w.Write(body) // the browser has gone; there is nobody to tell
	return nil
}

// local returns an address on this site that a form or link asked to go to, or "/".
func local(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || !strings.HasPrefix(address, "/") ||
		strings.HasPrefix(address, "//") || strings.ContainsAny(address, "\\\r\n\t") {
		return "/"
	}
	return address
}

// none makes a fault for an address that names nothing.
func none(what string) error {
	return fault.New(fault.NotFound, "NotFound", "%s", what)
}

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
		p.Do = "Ask for a role that allows it."
		p.Who = "Anybody with the role Administrator of Chatelaine can assign one. The refusal is in the audit trail under the request below."
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

// mendable reports whether whoever filled a form can mend what it was refused for. A
// missing role they cannot.
func mendable(err error) (*fault.Error, bool) {
	f := web.Fault(err)
	switch f.Kind {
	case fault.Invalid, fault.Conflict:
		return f, true
	case fault.Denied:
		return f, !errors.As(err, new(*access.Refusal))
	}
	return f, false
}

// problemOf words a kind of error.
func problemOf(f *fault.Error) (int, page.Problem) {
	p := page.Problem{Text: view.Clean(f.Message), Links: []view.Link{{Text: "Overview", Href: "/"}}}
	switch f.Kind {
	case fault.Denied:
		p.Title = "You may not do this"
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

// The cookies. The prefix makes browsers refuse them unless they are secure, for every
// path and for this host alone, so that no other host of the domain can plant one.
const (
	sessionCookie = "__Host-session"
	themeCookie   = "__Host-theme"
)

// cookie is what the browser holds under a name.
func (v *visit) cookie(name string) access.Secret {
	k, err := v.r.Cookie(name)
	if err != nil { // there is none
		return access.NewSecret("")
	}
	return access.NewSecret(k.Value)
}

func (v *visit) keep(name, value string, until time.Time) {
	http.SetCookie(v.w, &http.Cookie{Name: name, Value: value, Path: "/", Expires: until, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}

func (v *visit) forget(name string) {
	http.SetCookie(v.w, &http.Cookie{Name: name, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}

// signInPage shows the door. A link's token is only shown a button: programs that look
// into links, such as mail filters, must not use it up.
func (c *Console) signInPage(v *visit) error {
	return v.door(http.StatusOK, page.SignIn{Token: v.query("token"), Next: local(v.query("next"))})
}

func (v *visit) door(status int, p page.SignIn) error {
	return v.show(status, p.Show(v.shell("Sign in", "")))
}

// signIn begins a session, by link or by password.
func (c *Console) signIn(v *visit) error {
	next := local(v.form("next"))
	began, err := v.begin()
	if err != nil {
		f := fault.Of(err)
		if f.Kind != fault.Unauthenticated && f.Kind != fault.Limited {
			return err
		}
		status := http.StatusUnauthorized
		if f.Kind == fault.Limited {
			status = http.StatusTooManyRequests
		}
		return v.door(status, page.SignIn{User: view.Clean(v.form("user")), Next: next, Wrong: f.Message})
	}
	v.keep(sessionCookie, began.ID.Reveal(), began.Expires)
	return v.goTo(next)
}

func (v *visit) begin() (session.Session, error) {
	previous := v.cookie(sessionCookie)
	if token := v.form("token"); token != "" {
		return v.c.Sessions.SignInByLink(v.ctx(), access.NewSecret(token), previous, v.from)
	}
	return v.c.Sessions.SignIn(v.ctx(), session.Attempt{
		Name: v.form("user"), Password: access.NewSecret(v.r.PostFormValue("password")), Previous: previous, From: v.from,
	})
}

// signOut ends the session on the server, and in the browser.
func (c *Console) signOut(v *visit) error {
	if id := v.cookie(sessionCookie); id.Reveal() != "" {
		if err := c.Sessions.SignOut(v.ctx(), id, v.from); err != nil {
			return err
		}
	}
	v.forget(sessionCookie)
	return v.goTo("/sign-in?" + url.Values{"did": {"signed-out"}}.Encode())
}

// theme is what the browser asked to remember.
func (v *visit) theme() view.Theme {
	switch t := view.Theme(v.cookie(themeCookie).Reveal()); t {
	case view.Light, view.Dark:
		return t
	}
	return view.System
}

// setTheme remembers light or dark in the browser, or forgets it.
func (c *Console) setTheme(v *visit) error {
	switch t := view.Theme(v.form("theme")); t {
	case view.Light, view.Dark:
		v.keep(themeCookie, string(t), v.now.AddDate(1, 0, 0))
	default:
		v.forget(themeCookie)
	}
	return v.goTo(local(v.form("back")))
}
