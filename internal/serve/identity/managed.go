package identity

import (
	"log/slog"
	"net/http"
	"strconv"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/token"
	"chatelaine.dev/internal/serve/web"
)

// appServiceVersion is the one version of App Service's endpoint that clients use.
const appServiceVersion = "2019-08-01"

// identityAnswer is a token as App Service gives it.
type identityAnswer struct {
	AccessToken string `json:"access_token"`
	ClientID    string `json:"client_id"`
	ExpiresOn   string `json:"expires_on"` // seconds since 1970, as text
	Resource    string `json:"resource"`
	Type        string `json:"token_type"`
}

// identityFailure is an error in the words of every client library that looks for one.
type identityFailure struct {
	failure
	Status  int    `json:"statusCode"`
	Message string `json:"message"`
}

// managedIdentity answers what a client asks when IDENTITY_ENDPOINT and IDENTITY_HEADER
// are set. The header is the secret: a page in a browser, or a server that is made to
// fetch an address, cannot send it.
func (o *Door) managedIdentity(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	headers := r.Header.Values("X-Identity-Header")
	var bad *aadError
	switch {
	case len(headers) != 1 || headers[0] == "":
		bad = &aadError{status: http.StatusUnauthorized, word: "invalid_client", code: 7000218, text: "The request must contain the header X-IDENTITY-HEADER, with the value of IDENTITY_HEADER."}
	case q.Get("api-version") != appServiceVersion:
		bad = invalidRequest(900144, "The query parameter api-version must be %s.", appServiceVersion)
	case q.Get("resource") == "":
		bad = invalidRequest(900144, "The request must contain the query parameter 'resource'.")
	case q.Get("mi_res_id") != "":
		bad = invalidRequest(900144, "This server has no resource ids. Name the identity by its client id, or leave it out.")
	}
	if bad != nil {
		o.failIdentity(w, r, bad)
		return
	}
	t, err := o.Tokens.ForManagedIdentity(r.Context(), token.ManagedIdentity{
		Header: access.NewSecret(headers[0]), ClientID: q.Get("client_id"), ObjectID: q.Get("object_id"),
		Resource: q.Get("resource"), Base: web.Base(r, o.Domain), From: web.Origin(r),
	})
	if err != nil {
		o.failIdentity(w, r, o.aadError(err, q.Get("resource")))
		return
	}
	web.EventOf(r.Context()).Add(slog.String("application", t.ClientID))
	web.JSON(w, http.StatusOK, identityAnswer{
		AccessToken: t.Text.Reveal(), ClientID: t.ClientID, ExpiresOn: strconv.FormatInt(t.Expires.Unix(), 10), Resource: t.Audience, Type: "Bearer",
	})
}

func (o *Door) failIdentity(w http.ResponseWriter, r *http.Request, e *aadError) {
	web.EventOf(r.Context()).Fail(e.logged())
	web.JSON(w, e.status, identityFailure{failure: o.failureOf(r, e), Status: e.status, Message: e.Error()})
}
