package console

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// acme shows who gets certificates by the profiles' ACME doors, and when they renew.
func (c *Console) acme(v *visit) error {
	keys, err := c.ACME.ExternalKeys(v.ctx(), v.caller, "", "", maxACME)
	if err != nil {
		return err
	}
	accounts, err := c.ACME.Accounts(v.ctx(), v.caller, acme.AccountQuery{Limit: maxACME})
	if err != nil {
		return err
	}
	windows, err := c.ACME.Windows(v.ctx(), v.caller)
	if err != nil {
		return err
	}
	p := page.ACME{Lead: view.Plural(len(accounts), "account", "accounts")}
	if len(accounts) == maxACME || len(keys) == maxACME {
		p.Lead = "the first " + view.Number(maxACME) + "; the command line shows all"
	}
	now := c.Now()
	for _, k := range keys {
		r := page.ACMERow{Name: k.ID, Profile: k.Profile, Owner: view.Clean(k.Owner), At: k.Created, When: view.Moment(now, k.Created), State: keyState(k, now)}
		if k.Revoked.IsZero() {
			r.End = view.Link{Href: "/acme-server/keys/" + url.PathEscape(k.ID) + "/revoke"}
		}
		p.Keys = append(p.Keys, r)
	}
	for _, a := range accounts {
		r := page.ACMERow{Name: a.ID, Profile: a.Profile, Owner: view.Clean(a.Owner), At: a.Created, When: view.Moment(now, a.Created), State: view.Chip{Tone: view.None, Word: string(a.Status)}}
		if a.Status == acme.Valid {
			r.State.Tone, r.End = view.OK, view.Link{Href: "/acme-server/accounts/" + url.PathEscape(a.ID) + "/deactivate"}
		}
		p.Accounts = append(p.Accounts, r)
	}
	for _, w := range windows {
		state := view.Chip{Tone: view.OK, Word: "open"}
		if now.After(w.End) {
			state = view.Chip{Tone: view.None, Word: "over"}
		}
		p.Windows = append(p.Windows, page.ACMERow{
			Name: coveredBy(w), Profile: w.Profile, Owner: view.Clean(w.Owner), At: w.End, When: view.Moment(now, w.End), State: state,
			End: view.Link{Href: "/acme-server/windows/" + url.PathEscape(w.ID) + "/delete"},
		})
	}
	return v.show(http.StatusOK, p.Show(v.shell("ACME", "/acme-server")))
}

// maxACME is how many keys and accounts the page shows.
const maxACME = 200

func keyState(k acme.ExternalKey, now time.Time) view.Chip {
	switch {
	case !k.Revoked.IsZero():
		return view.Chip{Tone: view.None, Word: "revoked"}
	case !k.Expires.IsZero() && now.After(k.Expires):
		return view.Chip{Tone: view.None, Word: "expired"}
	case k.Account != "" && !k.Many:
		return view.Chip{Tone: view.None, Word: "used"}
	case k.Many:
		return view.Chip{Tone: view.OK, Word: "for many accounts"}
	}
	return view.Chip{Tone: view.OK, Word: "for one account"}
}

// coveredBy says which certificates a window means.
func coveredBy(w acme.Window) string {
	for _, x := range [][2]string{{"name ", w.Name}, {"certificate ", w.SHA256}, {"issuer ", w.Issuer}, {"account ", w.Account}} {
		if x[1] != "" {
			return x[0] + view.Clean(x[1])
		}
	}
	return "all certificates"
}

// acmeForm is a form of the ACME page.
func acmeForm(title, action string, fields ...page.Field) page.Form {
	return page.Form{Crumbs: []view.Link{{Text: "ACME", Href: "/acme-server"}}, Title: title, Action: action, Submit: title, Cancel: "/acme-server", Fields: fields}
}

func newKeyForm(v *visit) page.Form {
	f := acmeForm("Make a key", "/acme-server/keys/new",
		page.Field{Name: "profile", Label: "Profile", Help: "Its ACME door must be open.", Value: view.Or(v.query("profile"), "tls-server"), Required: true},
		page.Field{Name: "owner", Label: "Application or team", Help: "Whom the certificates belong to.", Required: true},
		page.Field{Name: "comment", Label: "Comment"},
		page.Field{Name: "many", Label: "For any number of accounts", Kind: "check"})
	f.Lead = "Whoever has the key can make an ACME account, and get certificates for what the profile's door allows."
	return f
}

func (c *Console) askACMEKey(v *visit) error {
	f := newKeyForm(v)
	return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/acme-server")))
}

// createACMEKey shows the secret on the page that answers: nowhere else can it be seen.
func (c *Console) createACMEKey(v *visit) error {
	k, err := c.ACME.CreateExternalKey(v.ctx(), v.caller, acme.ExternalKeyDraft{
		Profile: v.form("profile"), Owner: v.form("owner"), Comment: v.form("comment"), Many: v.form("many") != "",
	})
	if err != nil {
		return v.again(newKeyForm(v), err)
	}
	p := page.ACMEKey{Owner: view.Clean(k.Owner), Props: []page.Prop{
		{Name: "Directory", Text: c.ACMEURL(k.Profile), Mono: true}, {Name: "Key id", Text: k.ID, Mono: true}, {Name: "Secret", Text: k.Secret.Reveal(), Mono: true},
	}}
	return v.show(http.StatusOK, p.Show(v.shell("A key for "+p.Owner, "/acme-server")))
}

func newWindowForm() page.Form {
	f := acmeForm("Open a window", "/acme-server/windows/new",
		page.Field{Name: "hours", Label: "Within how many hours", Kind: "number", Value: "48", Required: true},
		page.Field{Name: "profile", Label: "Profile", Help: "Empty: all."},
		page.Field{Name: "owner", Label: "Owner", Help: "Empty: all."},
		page.Field{Name: "name", Label: "Name", Help: "A name in the certificates, or *.example.com for all below. Empty: all."},
		page.Field{Name: "explanation", Label: "Explanation", Help: "Address of a page that tells people why."})
	f.Lead = "Clients that ask for renewal information renew what was issued until now, at a random time in the window."
	return f
}

func (c *Console) askACMEWindow(v *visit) error {
	f := newWindowForm()
	return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/acme-server")))
}

func (c *Console) createACMEWindow(v *visit) error {
	hours, err := strconv.Atoi(v.form("hours"))
	if err != nil || hours < 1 || hours > 9600 {
		return v.again(newWindowForm(), fault.New(fault.Invalid, "BadWindow", "A window is 1 to 9600 hours long."))
	}
	_, err = c.ACME.CreateWindow(v.ctx(), v.caller, acme.Window{
		End: c.Now().Add(time.Duration(hours) * time.Hour), Profile: v.form("profile"), Owner: v.form("owner"), Name: v.form("name"), Explanation: v.form("explanation"),
	})
	if err != nil {
		return v.again(newWindowForm(), err)
	}
	return v.goTo("/acme-server?did=window-opened")
}

// conclusion is how a key, an account or a window is ended.
type conclusion struct {
	title, lead, path, did string
	do                     func(ctx context.Context, c access.Caller, id string) error
}

func (c *Console) endings() map[string]conclusion {
	return map[string]conclusion{
		"keys": {"Revoke the key", "It makes no account any more. Accounts that it made stay until they are deactivated.", "revoke", "acme-ended",
			func(ctx context.Context, x access.Caller, id string) error {
				_, err := c.ACME.RevokeExternalKey(ctx, x, id)
				return err
			}},
		"accounts": {"Deactivate the account", "It orders nothing any more, for good. Certificates that it got stay valid.", "deactivate", "acme-ended",
			func(ctx context.Context, x access.Caller, id string) error {
				_, err := c.ACME.EndAccount(ctx, x, id)
				return err
			}},
		"windows": {"Delete the window", "Clients renew when they would have without it.", "delete", "acme-ended", c.ACME.DeleteWindow},
	}
}

// askACMEEnd asks before a key, an account or a window is ended.
func (c *Console) askACMEEnd(kind string) func(v *visit) error {
	return func(v *visit) error {
		f := c.endForm(kind, v.r.PathValue("id"))
		return v.show(http.StatusOK, f.Show(v.shell(f.Title, "/acme-server")))
	}
}

func (c *Console) endForm(kind, id string) page.Form {
	e := c.endings()[kind]
	f := acmeForm(e.title, "/acme-server/"+kind+"/"+url.PathEscape(id)+"/"+e.path)
	f.Lead, f.Danger, f.Preview = e.lead, true, []page.Prop{{Name: "Id", Text: view.Clean(id), Mono: true}}
	return f
}

func (c *Console) endACME(kind string) func(v *visit) error {
	return func(v *visit) error {
		e, id := c.endings()[kind], v.r.PathValue("id")
		if err := e.do(v.ctx(), v.caller, id); err != nil {
			return v.again(c.endForm(kind, id), err)
		}
		return v.goTo("/acme-server?did=" + e.did)
	}
}
