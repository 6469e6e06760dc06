package api

import (
	"context"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/passcode"
)

func (a *door) passcodeOperations() {
	const tag = "passcodes"
	create := operation{id: "createPasscode", method: http.MethodPost, path: "/passcodes", summary: "Make a one-time password for enrolment",
		action: passcode.Write, scope: "/", status: http.StatusCreated}
	create.about = "It needs the right to issue by the profile besides. The password is shown this once."
	register(a, tag, create, a.createPasscode)
	register(a, tag, operation{id: "listPasscodes", method: http.MethodGet, path: "/passcodes", summary: "List one-time passwords, newest first",
		action: passcode.Read, scope: "/"}, a.listPasscodes)
	register(a, tag, operation{id: "deletePasscode", method: http.MethodDelete, path: "/passcodes/{passcode}", summary: "Take a one-time password back",
		action: passcode.Write, scope: "/", status: http.StatusNoContent}, a.deletePasscode)
}

type newPasscode struct {
	passcode.Passcode
	Password string `json:"password" doc:"shown this once"`
}

func (a *door) createPasscode(ctx context.Context, c access.Caller, in *struct {
	Body struct {
		Door    string   `json:"door" enum:"est,scep"`
		Profile string   `json:"profile" maxLength:"63"`
		Names   []string `json:"names" minItems:"1" maxItems:"100" doc:"that may be asked for: names, *.example.com, networks, or * for all that the door allows"`
		Hours   int      `json:"hours,omitempty" minimum:"0" maximum:"8760" doc:"for how long it is good; default: 24"`
		Comment string   `json:"comment,omitempty" maxLength:"255"`
	}
}) (*answer[newPasscode], error) {
	p, secret, err := a.Passcodes.Create(ctx, c, passcode.Draft{
		Door: in.Body.Door, Profile: in.Body.Profile, Names: in.Body.Names, Life: time.Duration(in.Body.Hours) * time.Hour, Comment: in.Body.Comment,
	})
	return answerOf(newPasscode{p, secret.Reveal()}, err)
}

func (a *door) listPasscodes(ctx context.Context, c access.Caller, in *Paging) (*page[passcode.Passcode], error) {
	list, err := a.Passcodes.List(ctx, c, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return pageOf(list, in.nextOf(len(list), func(last int) string { return list[last].ID })), nil
}

func (a *door) deletePasscode(ctx context.Context, c access.Caller, in *struct {
	Passcode string `path:"passcode" maxLength:"100" doc:"id"`
}) (*nothing, error) {
	return &nothing{}, a.Passcodes.Delete(ctx, c, in.Passcode)
}
