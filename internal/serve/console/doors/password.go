package doors

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/passcode"
	"chatelaine.dev/internal/serve/console/page"
	"chatelaine.dev/internal/serve/console/view"
)

// passwords fills in the one-time passwords. Who may not see them may still use the forms.
func (a *Area) passwords(v Visit, p *page.Doors) error {
	list, err := a.Passcodes.List(v.Context(), v.Caller(), "", maxPasswords)
	if fault.Is(err, fault.Denied) {
		p.Hidden = "You have no role that shows one-time passwords. Somebody who has the role Administrator of Chatelaine can make one for you."
		return nil
	}
	if err != nil {
		return err
	}
	if len(list) == maxPasswords {
		p.More = "Only the newest " + view.Number(maxPasswords) + " are shown; \"chatelaine passcode list\" shows all."
	}
	for _, x := range list {
		r := page.PasswordRow{
			For: view.Clean(strings.Join(x.Names, ", ")), Profile: x.Profile, Door: strings.ToUpper(x.Door), Comment: view.Clean(x.Comment),
			At: x.Expires, When: view.Moment(v.Now(), x.Expires), State: state(x, v.Now()),
		}
		if r.State.Tone == view.OK {
			r.End = home + "/passwords/" + url.PathEscape(x.ID) + "/delete"
		}
		p.Passwords = append(p.Passwords, r)
	}
	return nil
}

func state(x passcode.Passcode, now time.Time) view.Chip {
	switch {
	case !x.Spent.IsZero():
		return view.Chip{Tone: view.None, Word: "used"}
	case !now.Before(x.Expires):
		return view.Chip{Tone: view.None, Word: "expired"}
	}
	return view.Chip{Tone: view.OK, Word: "unused"}
}

// passwordForm asks for what a password is for. The links of a profile fill in the rest.
func passwordForm(v Visit) page.Form {
	return page.Form{
		Crumbs: []view.Link{{Text: "Enrolment", Href: home}}, Title: "New one-time password", Action: home + "/passwords/new", Submit: "Make the password", Cancel: home,
		Lead: "Whoever has it gets one certificate, for these names and by this profile, without an account here. It is shown once, on the next page.",
		Fields: []page.Field{
			{Name: "profile", Label: "Profile", Help: "Its door must be open for one-time passwords.", Value: view.Or(v.Query("profile"), "tls-server"), Required: true},
			{Name: "door", Label: "Door", Kind: "choice", Value: view.Or(v.Query("door"), passcode.EST), Options: []page.Option{{Value: passcode.EST, Text: "EST"}, {Value: passcode.SCEP, Text: "SCEP"}}, Required: true},
			{Name: "names", Label: "Names", Kind: "lines", Help: "One a line: printer.example.com, *.example.com for all below, 10.0.0.0/8, or * for whatever the door allows.", Required: true},
			{Name: "hours", Label: "Good for how many hours", Kind: "number", Value: "24", Help: "Up to 8760, a year.", Required: true},
			{Name: "comment", Label: "Comment", Help: "For the list, such as where the machine stands."},
		},
	}
}

func (a *Area) askPassword(v Visit) error {
	f := passwordForm(v)
	return v.Show(f.Title, home, f.Show)
}

// createPassword shows the password on the page that answers: nowhere else can it be seen.
func (a *Area) createPassword(v Visit) error {
	hours, err := strconv.Atoi(v.Form("hours"))
	if err != nil || hours < 1 || hours > 8760 {
		return v.Again(passwordForm(v), fault.New(fault.Invalid, "BadLife", "A password is good for 1 to 8760 hours."))
	}
	made, secret, err := a.Passcodes.Create(v.Context(), v.Caller(), passcode.Draft{
		Door: v.Form("door"), Profile: v.Form("profile"), Names: lines(v.Form("names")), Life: time.Duration(hours) * time.Hour, Comment: v.Form("comment"),
	})
	if err != nil {
		return v.Again(passwordForm(v), err)
	}
	p := page.Password{
		For: view.Clean(strings.Join(made.Names, ", ")), Rules: "Good for one certificate by " + made.Profile + ", until " + view.Minute(made.Expires) + ".",
		Lines: append([]page.Line{{Label: "Password", Text: secret.Reveal()}}, withPassword(made.Door, a.Addresses(made.Profile), secret.Reveal())...),
	}
	return v.Show("A password for "+p.For, home, p.Show)
}

func (a *Area) deleteForm(v Visit) page.Form {
	id := v.Path("id")
	return page.Form{
		Crumbs: []view.Link{{Text: "Enrolment", Href: home}}, Title: "Take the password back", Lead: "It opens nothing any more. A certificate that was had with it stays.",
		Preview: []page.Prop{{Name: "Id", Text: view.Clean(id), Mono: true}},
		Action:  home + "/passwords/" + url.PathEscape(id) + "/delete", Danger: true, Submit: "Take it back", Cancel: home,
	}
}

func (a *Area) askDeletePassword(v Visit) error {
	f := a.deleteForm(v)
	return v.Show(f.Title, home, f.Show)
}

func (a *Area) deletePassword(v Visit) error {
	if err := a.Passcodes.Delete(v.Context(), v.Caller(), v.Path("id")); err != nil {
		return v.Again(a.deleteForm(v), err)
	}
	return v.GoTo(home + "?did=password-deleted")
}
