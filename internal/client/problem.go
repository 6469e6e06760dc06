package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Error is a refusal of the server: a problem of RFC 9457.
type Error struct {
	Status  int    `json:"status"`
	Title   string `json:"title"`
	Detail  string `json:"detail"`
	Code    string `json:"code"`
	Request string `json:"request"` // the id under which log and audit trail know it
	Errors  []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors"`
}

// Error is what happened and, as far as the server knows it, what to do next.
func (e *Error) Error() string {
	text := strings.TrimSpace(strings.ReplaceAll(e.Detail, "\r\n", "\n")) // refusals in Azure's words have many lines
	if text == "" {
		text = fmt.Sprintf("the server answered %d %s", e.Status, e.Title)
	}
	if len(e.Errors) > 1 {
		for _, f := range e.Errors {
			text += "\n  " + f.Location + ": " + f.Message
		}
	}
	if e.Status >= http.StatusInternalServerError && e.Request != "" {
		text += " (request " + e.Request + ")"
	}
	return text
}

// HasCode reports whether err is a refusal with the code.
func HasCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// Passing reports whether the same call may work in a moment: the server is away, is
// busy, or is starting.
func Passing(err error) bool {
	var e *Error
	var lost *unreached
	return errors.As(err, &e) && (e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests || e.Status == http.StatusBadGateway) ||
		errors.As(err, &lost) && lost.passing
}

func problemOf(res *http.Response, body []byte) error {
	e := &Error{}
	if json.Unmarshal(body, e) != nil || e.Status == 0 {
		e = &Error{Status: res.StatusCode, Title: http.StatusText(res.StatusCode), Request: res.Header.Get("X-Request-Id")}
	}
	return e
}

// unreached is a call that the server may not have seen.
type unreached struct {
	text    string
	passing bool
	cause   error
}

func (u *unreached) Error() string { return u.text }
func (u *unreached) Unwrap() error { return u.cause }

// unreached says why the server was not reached, and what helps.
func (c *Client) unreached(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	u := &unreached{cause: err, passing: true}
	var untrusted *tls.CertificateVerificationError
	var name *net.DNSError
	switch {
	case errors.As(err, &untrusted):
		u.text, u.passing = fmt.Sprintf("%s: the server's certificate is not trusted: %v; SSL_CERT_FILE must name the server's root.pem: %s", c.URL(), untrusted.Err, hint), false
	case errors.As(err, &name):
		u.text, u.passing = fmt.Sprintf("%s: the name %s is not known here; is CHATELAINE_URL right?", c.URL(), name.Name), false
	case errors.Is(err, syscall.ECONNREFUSED):
		u.text = fmt.Sprintf("%s: nobody listens there; start the server with \"chatelaine serve\", or correct CHATELAINE_URL", c.URL())
	default:
		u.text = fmt.Sprintf("%s: %v", c.URL(), err)
	}
	return u
}
