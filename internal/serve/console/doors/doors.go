// Package doors is the part of the console where certificates are fetched: by hand with a
// form, and by machines, which need an address and something to show at it.
package doors

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/a-h/templ"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/enrollment"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/pki/catalog"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// Visit is one request of somebody who is signed in, as the console hands it over.
type Visit interface {
	Context() context.Context
	Caller() access.Caller
	Now() time.Time
	// Path, Query and Form are values of the address and of the posted form.
	Path(name string) string
	Query(name string) string
	Form(name string) string
	// Show answers with a page; here is the entry of the navigation that it belongs to.
	Show(title, here string, draw func(view.Shell) templ.Component) error
	// Again shows a form that was refused, with what was typed.
	Again(f page.Form, err error) error
	// GoTo has the browser load another page, Save keep a file.
	GoTo(address string) error
	Save(name, contentType string, body []byte) error
}

// Profiles says what certificates may look like; *catalog.Service is one.
type Profiles interface {
	List(ctx context.Context, c access.Caller) ([]catalog.Entry, error)
	Entry(ctx context.Context, c access.Caller, name string) (catalog.Entry, error)
}

// Passcodes keeps one-time passwords; *passcode.Service is one.
type Passcodes interface {
	List(ctx context.Context, c access.Caller, after string, limit int) ([]passcode.Passcode, error)
	Create(ctx context.Context, c access.Caller, d passcode.Draft) (passcode.Passcode, access.Secret, error)
	Delete(ctx context.Context, c access.Caller, id string) error
}

// Requests is the road on which certificates are asked for; *enrollment.Service is one.
type Requests interface {
	Enroll(ctx context.Context, c access.Caller, a enrollment.Ask) (enrollment.Enrolled, error)
	Generate(ctx context.Context, c access.Caller, m enrollment.Making) (enrollment.Made, error)
	Collect(ctx context.Context, c access.Caller, request string) (enrollment.Enrolled, error)
}

// Addresses are where the doors of a profile are. What is off is empty.
type Addresses struct {
	ACME      string // the directory
	EST       string // with passwords
	ESTMutual string // with certificates of clients, too
	SCEP      string // without TLS
	SCEPTLS   string
}

// Area is the pages. All its fields are needed.
type Area struct {
	Profiles  Profiles
	Passcodes Passcodes
	Requests  Requests
	Addresses func(profile string) Addresses
}

// home is the entry of the navigation.
const home = "/enrolment"

// Routes are the pages, by their patterns.
func (a *Area) Routes() map[string]func(Visit) error {
	return map[string]func(Visit) error{
		"GET /enrolment":                           a.overview,
		"GET /enrolment/passwords/new":             a.askPassword,
		"POST /enrolment/passwords/new":            a.createPassword,
		"GET /enrolment/passwords/{id}/delete":     a.askDeletePassword,
		"POST /enrolment/passwords/{id}/delete":    a.deletePassword,
		"GET /enrolment/profiles/{name}/csr":       a.askCSR,
		"POST /enrolment/profiles/{name}/csr":      a.enroll,
		"GET /enrolment/profiles/{name}/key":       a.askKey,
		"POST /enrolment/profiles/{name}/key":      a.generate,
		"GET /requests/{id}/certificate":           a.collect,
		"GET /requests/{id}/certificate/chain.pem": a.collectFile,
	}
}

// maxPasswords is how many the page shows.
const maxPasswords = 200

// overview shows every profile with its ways, and the passwords.
func (a *Area) overview(v Visit) error {
	entries, err := a.Profiles.List(v.Context(), v.Caller())
	if err != nil {
		return err
	}
	p := page.Doors{Lead: view.Plural(len(entries), "profile", "profiles")}
	for _, e := range entries {
		x := e.Profile
		r := page.DoorRow{
			Name: view.Link{Text: x.Name, Href: "/profiles/" + url.PathEscape(x.Name)}, Title: view.Clean(x.Title), Doors: Open(x.Doors),
			Approval: view.Chip{Tone: view.OK, Word: "none"}, WithCSR: formPath(x.Name, "csr"),
		}
		if x.Approval {
			r.Approval = view.Chip{Tone: view.Warn, Word: "a person"}
		} else if len(makeable(x)) > 0 { // nobody could come back for the key
			r.WithoutKey = formPath(x.Name, "key")
		}
		p.Profiles = append(p.Profiles, r)
	}
	if err := a.passwords(v, &p); err != nil {
		return err
	}
	return v.Show("Enrolment", home, p.Show)
}

func formPath(profile, form string) string {
	return home + "/profiles/" + url.PathEscape(profile) + "/" + form
}

// lines are those of a field that are not empty.
func lines(text string) []string {
	var out []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}

// crumbs lead from a form back to its profile.
func (a *Area) crumbs(profile string) []view.Link {
	return []view.Link{{Text: "Enrolment", Href: home}, {Text: profile, Href: "/profiles/" + url.PathEscape(profile)}}
}
