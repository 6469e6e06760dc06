package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/catalog"
	"chatelaine.dev/internal/pki/profile"
)

// profileEntry is a profile and what is kept about it.
type profileEntry struct {
	Profile  profile.Profile   `json:"profile"`
	BuiltIn  bool              `json:"builtIn" doc:"it comes with the product and does not change; copy it"`
	Revision int64             `json:"revision" doc:"send it with a change; 0 when it is built in"`
	Updated  time.Time         `json:"updated,omitzero"`
	Updater  string            `json:"updater,omitempty" doc:"principal"`
	Findings []profile.Finding `json:"findings" doc:"ways in which the profile can be abused"`
}

func modelOfProfile(e catalog.Entry) profileEntry {
	return profileEntry{
		Profile: e.Profile, BuiltIn: e.BuiltIn, Revision: e.Revision, Updated: e.Updated, Updater: e.Updater,
		Findings: append([]profile.Finding{}, e.Profile.Findings()...),
	}
}

// profileBody is a profile to be kept. It is read by the service, which is strict.
type profileBody struct {
	Profile json.RawMessage `json:"profile" doc:"a JSON object; a field that does not exist is refused"`
}

func (a *door) profileOperations() {
	const tag = "profiles"
	register(a, tag, operation{id: "listProfiles", method: http.MethodGet, path: "/profiles", summary: "List profiles",
		action: catalog.Read, scope: "/"}, a.listProfiles)
	register(a, tag, operation{id: "createProfile", method: http.MethodPost, path: "/profiles", summary: "Make a profile",
		action: catalog.Write, scope: "/", status: http.StatusCreated}, a.createProfile)
	register(a, tag, operation{id: "getProfile", method: http.MethodGet, path: "/profiles/{profile}", summary: "Get a profile, with the ways in which it can be abused",
		action: catalog.Read, scope: "/profiles/{profile}"}, a.getProfile)
	register(a, tag, operation{id: "updateProfile", method: http.MethodPut, path: "/profiles/{profile}", summary: "Change a profile",
		about:  "It holds for what is issued from then on, at every node within a second.",
		action: catalog.Write, scope: "/profiles/{profile}"}, a.updateProfile)
	register(a, tag, operation{id: "copyProfile", method: http.MethodPost, path: "/profiles/{profile}/copy", summary: "Make a profile like another",
		action: catalog.Write, scope: "/", status: http.StatusCreated}, a.copyProfile)
	register(a, tag, operation{id: "deleteProfile", method: http.MethodDelete, path: "/profiles/{profile}", summary: "Delete a profile",
		about:  "Certificates that were issued by it stay as they are; a renewal by it is refused.",
		action: catalog.Delete, scope: "/profiles/{profile}", status: http.StatusNoContent}, a.deleteProfile)
}

func (a *door) listProfiles(ctx context.Context, c access.Caller, in *Paging) (*page[profile.Profile], error) {
	entries, err := a.Profiles.List(ctx, c)
	if err != nil {
		return nil, err
	}
	list := make([]profile.Profile, len(entries))
	for i, e := range entries {
		list[i] = e.Profile
	}
	return cut(*in, list, func(p profile.Profile) string { return p.Name }), nil
}

func (a *door) createProfile(ctx context.Context, c access.Caller, in *struct{ Body profileBody }) (*answer[profileEntry], error) {
	e, err := a.Profiles.Create(ctx, c, in.Body.Profile)
	return answerOf(modelOfProfile(e), err)
}

// ProfilePath names a profile.
type ProfilePath struct {
	Profile string `path:"profile" maxLength:"63"`
}

func (a *door) getProfile(ctx context.Context, c access.Caller, in *ProfilePath) (*answer[profileEntry], error) {
	e, err := a.Profiles.Entry(ctx, c, in.Profile)
	return answerOf(modelOfProfile(e), err)
}

func (a *door) updateProfile(ctx context.Context, c access.Caller, in *struct {
	ProfilePath
	Body struct {
		Profile  json.RawMessage `json:"profile" doc:"a JSON object; a field that does not exist is refused"`
		Revision int64           `json:"revision" minimum:"1" doc:"of the profile that is changed"`
	}
}) (*answer[profileEntry], error) {
	e, err := a.Profiles.Update(ctx, c, in.ProfilePath.Profile, in.Body.Revision, in.Body.Profile)
	return answerOf(modelOfProfile(e), err)
}

func (a *door) copyProfile(ctx context.Context, c access.Caller, in *struct {
	ProfilePath
	Body struct {
		Name string `json:"name" maxLength:"63" doc:"of the new profile"`
	}
}) (*answer[profileEntry], error) {
	e, err := a.Profiles.Copy(ctx, c, in.Profile, in.Body.Name)
	return answerOf(modelOfProfile(e), err)
}

func (a *door) deleteProfile(ctx context.Context, c access.Caller, in *ProfilePath) (*nothing, error) {
	return nil, a.Profiles.Delete(ctx, c, in.Profile)
}
