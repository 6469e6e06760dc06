package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/serve/web"
)

// failure is one thing that is wrong with a request. The value is not repeated: it may
// be a secret.
type failure struct {
	Location string `json:"location,omitempty" doc:"such as body.names or query.limit"`
	Message  string `json:"message"`
}

// problem is RFC 9457 with the stable code of the error.
type problem struct {
	web.Details
	Errors []failure `json:"errors,omitempty"`
}

func (p *problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header {
	switch p.Status {
	case http.StatusTooManyRequests:
		return http.Header{"Retry-After": {"60"}}
	case http.StatusServiceUnavailable:
		return http.Header{"Retry-After": {"1"}}
	}
	return nil
}

// problemOf turns an error of a service into an answer. What is wrong with a request is
// 422, as it is for what the schema refuses, so that a client sees one number for both.
func problemOf(ctx context.Context, err error) *problem {
	web.EventOf(ctx).Fail(err)
	f := web.Fault(err)
	status := web.Status(f.Kind)
	if f.Kind == fault.Invalid {
		status = http.StatusUnprocessableEntity
	}
	return &problem{Details: web.Details{
		Title: http.StatusText(status), Status: status, Detail: f.Message, Code: f.Code, Request: web.RequestID(ctx),
	}}
}

// The bounds of an answer to a request that is not valid: a stranger may write a name of a
// megabyte, or a thousand names that nobody knows.
const (
	maxFailures = 20
	maxText     = 300 // bytes of a message or a location
)

func bounded(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

// refused turns what huma refuses by the schema into a problem of ours.
func refused(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := &problem{Details: web.Details{
		Title: http.StatusText(model.Status), Status: model.Status, Detail: model.Detail, Code: "InvalidRequest", Request: web.RequestID(ctx.Context()),
	}}
	for _, e := range model.Errors {
		if e == nil {
			continue
		}
		if len(p.Errors) == maxFailures {
			p.Errors = append(p.Errors, failure{Message: fmt.Sprintf("%d more are not shown", len(model.Errors)-maxFailures)})
			break
		}
		f := failure{bounded(e.Location), bounded(e.Message)}
		if len(p.Errors) == 0 {
			p.Detail = "the request is not valid: " + f.Message
			if f.Location != "" {
				p.Detail += " (" + f.Location + ")"
			}
		}
		p.Errors = append(p.Errors, f)
	}
	web.EventOf(ctx.Context()).Fail(errors.New(p.Detail))
	return p, nil
}
