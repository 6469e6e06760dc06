package api

import (
	"context"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/acme"
)

func (a *door) acmeOperations() {
	const tag = "acme"
	read := operation{action: acme.Read, scope: "/"}
	write := operation{action: acme.Write, scope: "/"}
	register(a, tag, read.as("listAcmeKeys", http.MethodGet, "/acme/keys", "List external account keys, without their secrets"), a.listACMEKeys)
	create := write.as("createAcmeKey", http.MethodPost, "/acme/keys", "Make an external account key; its secret is shown this once").answering(http.StatusCreated)
	create.about = "Give id and secret to whoever is to make ACME accounts: certbot takes them as --eab-kid and --eab-hmac-key, lego as --kid and --hmac."
	register(a, tag, create, a.createACMEKey)
	revoke := write.as("revokeAcmeKey", http.MethodPost, "/acme/keys/{key}/revoke", "Revoke an external account key: it makes no account any more")
	revoke.about = "Accounts that it made stay; deactivate those that are to end."
	register(a, tag, revoke, a.revokeACMEKey)
	register(a, tag, read.as("listAcmeAccounts", http.MethodGet, "/acme/accounts", "List ACME accounts"), a.listACMEAccounts)
	register(a, tag, write.as("deactivateAcmeAccount", http.MethodPost, "/acme/accounts/{account}/deactivate", "Deactivate an ACME account for good"), a.deactivateACMEAccount)
	register(a, tag, read.as("listAcmeWindows", http.MethodGet, "/acme/windows", "List the windows in which ACME clients are told to renew"), a.listACMEWindows)
	window := write.as("createAcmeWindow", http.MethodPost, "/acme/windows", "Have ACME clients renew certificates in a window").answering(http.StatusCreated)
	window.about = "Clients that ask for renewal information (RFC 9773) renew what the window covers at a random time in it. " +
		"It covers certificates issued until now for which all its conditions hold; without conditions, all of them."
	register(a, tag, window, a.createACMEWindow)
	register(a, tag, write.as("deleteAcmeWindow", http.MethodDelete, "/acme/windows/{window}", "Delete a window").answering(http.StatusNoContent), a.deleteACMEWindow)
}

func (a *door) listACMEKeys(ctx context.Context, c access.Caller, in *struct {
	Paging
	Profile string `query:"profile" maxLength:"64"`
}) (*page[acme.ExternalKey], error) {
	list, err := a.ACME.ExternalKeys(ctx, c, in.Profile, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return pageOf(list, in.nextOf(len(list), func(last int) string { return list[last].ID })), nil
}

// madeACMEKey is a key with its secret, which is never shown again.
type madeACMEKey struct {
	acme.ExternalKey
	Secret string `json:"secret" doc:"base64url, as ACME clients take it"`
}

func (a *door) createACMEKey(ctx context.Context, c access.Caller, in *struct {
	Body struct {
		Profile string    `json:"profile" maxLength:"64" doc:"whose ACME door is open"`
		Owner   string    `json:"owner" maxLength:"200" doc:"application or team that the certificates belong to"`
		Comment string    `json:"comment,omitempty" maxLength:"200"`
		Many    bool      `json:"many,omitempty" doc:"for any number of accounts; else the first account uses it up"`
		Expires time.Time `json:"expires,omitzero" doc:"default: never"`
	}
}) (*answer[madeACMEKey], error) {
	k, err := a.ACME.CreateExternalKey(ctx, c, acme.ExternalKeyDraft{
		Profile: in.Body.Profile, Owner: in.Body.Owner, Comment: in.Body.Comment, Many: in.Body.Many, Expires: in.Body.Expires,
	})
	if err != nil {
		return nil, err
	}
	return &answer[madeACMEKey]{madeACMEKey{k, k.Secret.Reveal()}}, nil
}

func (a *door) revokeACMEKey(ctx context.Context, c access.Caller, in *struct {
	Key string `path:"key" maxLength:"100" doc:"id"`
}) (*answer[acme.ExternalKey], error) {
	return answerOf(a.ACME.RevokeExternalKey(ctx, c, in.Key))
}

func (a *door) listACMEAccounts(ctx context.Context, c access.Caller, in *struct {
	Paging
	Profile string `query:"profile" maxLength:"64"`
	Key     string `query:"key" maxLength:"100" doc:"accounts that this external account key made"`
}) (*page[acme.Account], error) {
	list, err := a.ACME.Accounts(ctx, c, acme.AccountQuery{Profile: in.Profile, ExternalKey: in.Key, After: in.After, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(list, in.nextOf(len(list), func(last int) string { return list[last].ID })), nil
}

func (a *door) deactivateACMEAccount(ctx context.Context, c access.Caller, in *struct {
	Account string `path:"account" maxLength:"100" doc:"id"`
}) (*answer[acme.Account], error) {
	return answerOf(a.ACME.EndAccount(ctx, c, in.Account))
}

func (a *door) listACMEWindows(ctx context.Context, c access.Caller, in *Paging) (*page[acme.Window], error) {
	list, err := a.ACME.Windows(ctx, c)
	if err != nil {
		return nil, err
	}
	return cut(*in, list, func(w acme.Window) string { return w.ID }), nil
}

func (a *door) createACMEWindow(ctx context.Context, c access.Caller, in *struct {
	Body struct {
		Profile     string    `json:"profile,omitempty" maxLength:"64"`
		Owner       string    `json:"owner,omitempty" maxLength:"200" doc:"of the external account key"`
		Account     string    `json:"account,omitempty" maxLength:"100" doc:"id"`
		Name        string    `json:"name,omitempty" maxLength:"255" doc:"a name in the certificate, or *.example.com for all below"`
		Issuer      string    `json:"issuer,omitempty" maxLength:"64" doc:"SHA-256 of a certificate in the chain, hex"`
		SHA256      string    `json:"sha256,omitempty" maxLength:"64" doc:"of one certificate, hex"`
		Start       time.Time `json:"start,omitzero" doc:"default: now"`
		End         time.Time `json:"end" doc:"by then they are to be renewed"`
		Explanation string    `json:"explanation,omitempty" maxLength:"200" doc:"address of a page that tells people why"`
	}
}) (*answer[acme.Window], error) {
	b := in.Body
	return answerOf(a.ACME.CreateWindow(ctx, c, acme.Window{
		Profile: b.Profile, Owner: b.Owner, Account: b.Account, Name: b.Name, Issuer: b.Issuer, SHA256: b.SHA256, Start: b.Start, End: b.End, Explanation: b.Explanation,
	}))
}

func (a *door) deleteACMEWindow(ctx context.Context, c access.Caller, in *struct {
	Window string `path:"window" maxLength:"100" doc:"id"`
}) (*nothing, error) {
	return nil, a.ACME.DeleteWindow(ctx, c, in.Window)
}
