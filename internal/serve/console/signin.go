package console

import (
	"net/http"
	"net/url"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/session"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

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
