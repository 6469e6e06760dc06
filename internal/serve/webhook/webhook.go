// Package webhook is where the owner of an endpoint agrees by hand to be sent events: by
// the link that only the endpoint was given (Event Grid's validationUrl, and the
// WebHook-Request-Callback of CloudEvents). It asks for no sign-in; the link is the proof.
package webhook

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/serve/web"
)

// Route is what the door serves. Both protocols open the link with GET or POST.
const Route = "/webhooks/{subscription}/validate"

// Path is the link of a subscription, without its code.
func Path(id string) string { return "/webhooks/" + url.PathEscape(id) + "/validate" }

// Subscriptions knows who may agree; *subscription.Service is one.
type Subscriptions interface {
	Confirm(ctx context.Context, from access.Origin, id, code string) error
}

const maxCode = 200 // bytes

// New makes the handler.
func New(s Subscriptions) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if r.Method != http.MethodGet && r.Method != http.MethodPost {
			w.Header().Set("Allow", "GET, POST")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		code := r.URL.Query().Get("code")
		if len(code) > maxCode {
			code = ""
		}
		if err := s.Confirm(r.Context(), web.Origin(r), r.PathValue("subscription"), code); err != nil {
			web.Problem(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "This endpoint gets events from now on.\n")
	})
}
