package web

import (
	"context"
	"net/http"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/access/token"
)

// Authenticator tells who a token belongs to; *token.Service is one.
type Authenticator interface {
	// Authenticate verifies a token for the audience, such as https://example.com:8443.
	Authenticate(ctx context.Context, text, audience string) (access.Caller, error)
}

// Bearer returns the token of a request (RFC 6750 §2.1). One in the address or the body is
// not looked for: addresses are logged by others.
func Bearer(r *http.Request) (string, bool) {
	scheme, text, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	text = strings.TrimSpace(text)
	return text, ok && strings.EqualFold(scheme, "Bearer") && text != "" && len(r.Header.Values("Authorization")) == 1
}

// Caller returns who asks, by the request's token for the domain.
func Caller(r *http.Request, a Authenticator, domain string) (access.Caller, error) {
	text, ok := Bearer(r)
	if !ok {
		return access.Caller{}, token.Missing()
	}
	c, err := a.Authenticate(r.Context(), text, Base(r, domain))
	if err != nil {
		return access.Caller{}, err
	}
	c = c.From(Origin(r))
	EventOf(r.Context()).Caller(c)
	return c, nil
}
