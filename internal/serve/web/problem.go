package web

import (
	"encoding/json"
	"errors"
	"net/http"

	"chatelaine.dev/internal/fault"
)

// Status is the HTTP status of a kind of error.
func Status(k fault.Kind) int {
	switch k {
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Denied:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict:
		return http.StatusConflict
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.Limited:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// Details is a problem of RFC 9457. Code is the error's stable word, Request the id that
// the log and the audit trail know the request by.
type Details struct {
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail"`
	Code    string `json:"code,omitempty"`
	Request string `json:"request,omitempty"`
}

// Fault returns the error that a caller may see, and knows what net/http says of bodies
// that are too long.
func Fault(err error) *fault.Error {
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return fault.Wrap(err, fault.Invalid, "BodyTooLarge", "the request's body is too large; send less")
	}
	return fault.Of(err)
}

// DetailsOf words an error for a caller.
func DetailsOf(r *http.Request, err error) Details {
	f := Fault(err)
	d := Details{Title: http.StatusText(Status(f.Kind)), Status: Status(f.Kind), Detail: f.Message, Code: f.Code, Request: RequestID(r.Context())}
	if f.Code == "BodyTooLarge" {
		d.Status, d.Title = http.StatusRequestEntityTooLarge, http.StatusText(http.StatusRequestEntityTooLarge)
	}
	return d
}

// Problem answers with an error, and puts it on the request's event.
func Problem(w http.ResponseWriter, r *http.Request, err error) {
	EventOf(r.Context()).Fail(err)
	d := DetailsOf(r, err)
	switch d.Status {
	case http.StatusUnauthorized:
		if w.Header().Get("WWW-Authenticate") == "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "60")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	write(w, d.Status, d)
}

// JSON answers with a value. Its type must be one that encodes.
func JSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	write(w, status, v)
}

func write(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"title":"Internal Server Error","status":500}`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a client that is gone needs no answer
}
