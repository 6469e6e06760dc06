package api

import (
	"context"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/directory"
)

func (a *door) principalOperations() {
	const tag = "access"
	read := operation{action: access.ReadAccess, scope: "/"}
	write := operation{action: access.WriteAccess, scope: "/"}
	register(a, tag, read.as("listPrincipals", http.MethodGet, "/principals", "List people and programs, by name"), a.listPrincipals)
	register(a, tag, read.as("getPrincipal", http.MethodGet, "/principals/{principal}", "Get a principal"), a.getPrincipal)
	register(a, tag, write.as("createApplication", http.MethodPost, "/applications", "Add a program").answering(http.StatusCreated), a.createApplication)
	register(a, tag, write.as("createUser", http.MethodPost, "/users", "Add a person who signs in with a password").answering(http.StatusCreated), a.createUser)
	register(a, tag, write.as("setPrincipalEnabled", http.MethodPatch, "/principals/{principal}", "Let a principal in, or keep it out and end its tokens"), a.setPrincipalEnabled)
	register(a, tag, write.as("deletePrincipal", http.MethodDelete, "/principals/{principal}", "Delete a principal with its credentials and assignments").answering(http.StatusNoContent), a.deletePrincipal)
	register(a, tag, read.as("listCredentials", http.MethodGet, "/principals/{principal}/credentials", "List the credentials of a principal, without their secrets"), a.listCredentials)
	register(a, tag, write.as("addCredential", http.MethodPost, "/principals/{principal}/credentials", "Give a program a secret; it is shown this once").answering(http.StatusCreated), a.addCredential)
	register(a, tag, write.as("removeCredential", http.MethodDelete, "/principals/{principal}/credentials/{credential}", "Remove a credential and end its tokens").answering(http.StatusNoContent), a.removeCredential)
}

func (a *door) listPrincipals(ctx context.Context, c access.Caller, in *Paging) (*page[directory.Principal], error) {
	list, next, err := a.Directory.Principals(ctx, c, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return pageOf(list, next), nil
}

// PrincipalPath names a principal.
type PrincipalPath struct {
	Principal string `path:"principal" maxLength:"100" doc:"object id"`
}

func (a *door) getPrincipal(ctx context.Context, c access.Caller, in *PrincipalPath) (*answer[directory.Principal], error) {
	return answerOf(a.Directory.Principal(ctx, c, in.Principal))
}

func (a *door) createApplication(ctx context.Context, c access.Caller, in *struct {
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"256"`
	}
}) (*answer[directory.Principal], error) {
	return answerOf(a.Directory.CreateApplication(ctx, c, in.Body.Name))
}

func (a *door) createUser(ctx context.Context, c access.Caller, in *struct {
	Body struct {
		Name     string `json:"name" minLength:"1" maxLength:"256"`
		SignIn   string `json:"signIn" minLength:"1" maxLength:"128" doc:"such as ada or ada@example.com"`
		Password string `json:"password" minLength:"1" maxLength:"1024" writeOnly:"true" format:"password"`
	}
}) (*answer[directory.Principal], error) {
	return answerOf(a.Directory.CreateUser(ctx, c, directory.NewUser{
		Name: in.Body.Name, SignIn: in.Body.SignIn, Password: access.NewSecret(in.Body.Password),
	}))
}

func (a *door) setPrincipalEnabled(ctx context.Context, c access.Caller, in *struct {
	PrincipalPath
	Body struct {
		Enabled bool `json:"enabled"`
	}
}) (*answer[directory.Principal], error) {
	return answerOf(a.Directory.SetEnabled(ctx, c, in.Principal, in.Body.Enabled))
}

func (a *door) deletePrincipal(ctx context.Context, c access.Caller, in *PrincipalPath) (*nothing, error) {
	return nil, a.Directory.DeletePrincipal(ctx, c, in.Principal)
}

func (a *door) listCredentials(ctx context.Context, c access.Caller, in *struct {
	PrincipalPath
	Paging
}) (*page[directory.Credential], error) {
	list, err := a.Directory.Credentials(ctx, c, in.Principal)
	if err != nil {
		return nil, err
	}
	return cut(in.Paging, list, func(x directory.Credential) string { return x.ID }), nil
}

// addedCredential is a credential with its secret, which is never shown again.
type addedCredential struct {
	directory.Credential
	Secret string `json:"secret"`
}

func (a *door) addCredential(ctx context.Context, c access.Caller, in *struct {
	PrincipalPath
	Body struct {
		Kind        string    `json:"kind,omitempty" enum:"secret,header" default:"secret" doc:"header is for the managed-identity endpoint"`
		Description string    `json:"description,omitempty" maxLength:"256"`
		Expires     time.Time `json:"expires,omitzero" doc:"default: never"`
	}
}) (*answer[addedCredential], error) {
	added, secret, err := a.Directory.AddCredential(ctx, c, in.Principal, directory.NewCredential{
		Kind: directory.CredentialKind(in.Body.Kind), Description: in.Body.Description, Expires: in.Body.Expires,
	})
	if err != nil {
		return nil, err
	}
	return &answer[addedCredential]{addedCredential{added, secret.Reveal()}}, nil
}

func (a *door) removeCredential(ctx context.Context, c access.Caller, in *struct {
	PrincipalPath
	Credential string `path:"credential" maxLength:"100"`
}) (*nothing, error) {
	return nil, a.Directory.RemoveCredential(ctx, c, in.Principal, in.Credential)
}
