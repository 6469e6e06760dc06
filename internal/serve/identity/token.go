package identity

import (
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/token"
	"chatelaine.dev/internal/serve/web"
)

const maxForm = 16 << 10 // bytes of a token request; a client assertion fits

// token answers a token request (RFC 6749 §4.4) in one of the dialects.
func (o *Door) token(f token.Form) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !o.ours(r, f) {
			o.fail(w, r, badTenant(r.PathValue("tenant")))
			return
		}
		req, bad := read(w, r, f)
		if bad != nil {
			o.fail(w, r, bad)
			return
		}
		req.Base, req.Form, req.From = web.Base(r, o.Domain), f, web.Origin(r)
		t, err := o.Tokens.ForClient(r.Context(), req)
		if err != nil {
			o.fail(w, r, o.aadError(err, req.Resource))
			return
		}
		web.EventOf(r.Context()).Add(slog.String("application", t.ClientID))
		web.JSON(w, http.StatusOK, answerOf(t, f, o.Now()))
	}
}

// read decodes a token request. What stands in the address does not count: secrets do not
// belong there.
func read(w http.ResponseWriter, r *http.Request, f token.Form) (token.ClientCredentials, *aadError) {
	var req token.ClientCredentials
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return req, invalidRequest(900144, "The request body must be sent as application/x-www-form-urlencoded.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return req, invalidRequest(900144, "The request body is not a form of at most %d bytes.", maxForm)
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			return req, invalidRequest(9000410, "The parameter '%.40s' was sent more than once.", name)
		}
	}
	switch grant := r.PostForm.Get("grant_type"); grant {
	case "client_credentials":
	case "":
		return req, missing("grant_type")
	default:
		return req, &aadError{status: http.StatusBadRequest, word: "unsupported_grant_type", code: 70003,
			text: "The app requested an unsupported grant type. Use 'client_credentials'."}
	}
	if bad := client(r, &req); bad != nil {
		return req, bad
	}
	var bad *aadError
	req.Resource, bad = resource(r.PostForm, f)
	return req, bad
}

// client reads who asks: from the form, or from the header as Basic (RFC 6749 §2.3.1).
func client(r *http.Request, req *token.ClientCredentials) *aadError {
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		if secret != "" {
			return invalidRequest(9000410, "The client showed its secret in two ways; use one.")
		}
		var errID, errSecret error
		user, errID = url.QueryUnescape(user)
		secret, errSecret = url.QueryUnescape(password)
		if errID != nil || errSecret != nil || id != "" && id != user {
			return invalidRequest(9000410, "The header 'Authorization' does not hold the client's id and secret.")
		}
		id = user
	}
	switch {
	case id == "":
		return missing("client_id")
	case secret == "" && r.PostForm.Get("client_assertion") != "":
		return &aadError{status: http.StatusUnauthorized, word: "invalid_client", code: 700024, text: "Client assertions are not accepted here. Use a client secret."}
	case secret == "":
		return &aadError{status: http.StatusUnauthorized, word: "invalid_client", code: 7000218,
			text: "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."}
	}
	req.ClientID, req.Secret = id, access.NewSecret(secret)
	return nil
}

// resource reads what the token is for: "scope" ends in "/.default" and stands among
// OpenID's own scopes, which mean nothing for a program; versions 1 have "resource".
func resource(form url.Values, f token.Form) (string, *aadError) {
	if f != token.V2 {
		if res := form.Get("resource"); res != "" {
			return res, nil
		}
	}
	var found []string
	for _, s := range strings.Fields(form.Get("scope")) {
		if s != "openid" && s != "profile" && s != "offline_access" && s != "email" {
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 0 && f == token.V1:
		return "", missing("resource")
	case len(found) == 0:
		return "", missing("scope")
	}
	res, ok := strings.CutSuffix(found[0], "/.default")
	if !ok || len(found) > 1 {
		return "", &aadError{status: http.StatusBadRequest, word: "invalid_scope", code: 1002012,
			text: fmt.Sprintf("The provided value for scope %.200s is not valid. Client credential flows must have one scope, with /.default behind the resource.", form.Get("scope"))}
	}
	return res, nil
}

// answer is a token response; version 1 has its numbers as text.
type answer struct {
	Type         string `json:"token_type"`
	ExpiresIn    any    `json:"expires_in"`
	ExtExpiresIn any    `json:"ext_expires_in"`
	ExpiresOn    string `json:"expires_on,omitempty"`
	NotBefore    string `json:"not_before,omitempty"`
	Resource     string `json:"resource,omitempty"`
	AccessToken  string `json:"access_token"`
}

func answerOf(t token.Token, f token.Form, now time.Time) answer {
	seconds := int64(t.Expires.Sub(now) / time.Second)
	a := answer{Type: "Bearer", ExpiresIn: seconds, ExtExpiresIn: seconds, AccessToken: t.Text.Reveal()}
	if f == token.V1 {
		text := strconv.FormatInt(seconds, 10)
		a.ExpiresIn, a.ExtExpiresIn, a.Resource = text, text, t.Audience
		a.ExpiresOn, a.NotBefore = strconv.FormatInt(t.Expires.Unix(), 10), strconv.FormatInt(t.Issued.Unix(), 10)
	}
	return a
}
