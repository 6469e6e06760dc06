package identity

import (
	"errors"
	"fmt"
	"net/http"
	"uuid"

	"chatelaine.dev/internal/access/token"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/web"
)

// aadError is an error as Entra ID words it. Clients look at the word and the code; people
// search for "AADSTS" and the code.
type aadError struct {
	status int
	word   string // of RFC 6749 §5.2
	code   int
	text   string
	cause  error
}

func (e *aadError) Error() string { return fmt.Sprintf("AADSTS%d: %s", e.code, e.text) }

func (e *aadError) Unwrap() error { return e.cause }

func invalidRequest(code int, format string, args ...any) *aadError {
	return &aadError{status: http.StatusBadRequest, word: "invalid_request", code: code, text: fmt.Sprintf(format, args...)}
}

func missing(parameter string) *aadError {
	return invalidRequest(900144, "The request body must contain the following parameter: '%s'.", parameter)
}

func badTenant(tenant string) *aadError {
	return invalidRequest(90002, "Tenant '%.64s' not found. Check to make sure you have the correct tenant ID; use 'adfs' if you do not know it.", tenant)
}

// aadError turns a service's error into Entra ID's, here and nowhere else.
func (o *Door) aadError(err error, resource string) *aadError {
	e := &aadError{status: web.Status(fault.Of(err).Kind), cause: err}
	switch f := fault.Of(err); {
	case f.Code == token.CodeInvalidClient:
		e.word, e.code, e.text = "invalid_client", 7000215, "Invalid client secret provided. Ensure that the client id is right, and that the secret is the client secret's value and has not expired."
	case f.Code == token.CodeInvalidResource:
		e.word, e.code = "invalid_resource", 500011
		e.text = fmt.Sprintf("The resource principal named %.200s was not found in the tenant named %s. Ask for https://%s.", resource, o.Tenant(), o.Domain)
	case f.Kind == fault.Limited, f.Kind == fault.Unavailable:
		e.word, e.code, e.text = "temporarily_unavailable", 90033, "A transient error has occurred. Please try again."
	default:
		e.word, e.code, e.text = "server_error", 90036, "An unexpected error occurred. The server's log has the cause."
	}
	return e
}

// failure is the body of an error.
type failure struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	Codes       []int  `json:"error_codes"`
	Timestamp   string `json:"timestamp"`
	Trace       string `json:"trace_id"`
	Correlation string `json:"correlation_id"`
}

func (o *Door) fail(w http.ResponseWriter, r *http.Request, e *aadError) {
	web.EventOf(r.Context()).Fail(e.logged())
	if e.status == http.StatusUnauthorized && r.Header.Get("Authorization") != "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="token"`) // RFC 6749 §5.2
	}
	web.JSON(w, e.status, o.failureOf(r, e))
}

// logged is what the log is told: the cause if there is one.
func (e *aadError) logged() error {
	if e.cause != nil {
		return e.cause
	}
	return errors.New(e.Error())
}

func (o *Door) failureOf(r *http.Request, e *aadError) failure {
	f := failure{
		Error: e.word, Codes: []int{e.code}, Timestamp: o.Now().UTC().Format("2006-01-02 15:04:05Z"),
		Trace: web.RequestID(r.Context()), Correlation: correlation(r),
	}
	f.Description = fmt.Sprintf("%s Trace ID: %s Correlation ID: %s Timestamp: %s", e.Error(), f.Trace, f.Correlation, f.Timestamp)
	return f
}

// correlation is the client's own id of the request, if it is a GUID, else ours.
func correlation(r *http.Request) string {
	for _, id := range []string{r.Header.Get("Client-Request-Id"), r.URL.Query().Get("client-request-id")} {
		if g, err := uuid.Parse(id); err == nil && len(id) == 36 {
			return g.String()
		}
	}
	return web.RequestID(r.Context())
}
