package acme

import (
	"errors"
	"fmt"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/acme/jws"
)

// Problem is an error as ACME has it (RFC 8555 section 6.7). Type is the last part of the
// URN.
type Problem struct {
	Type        string      `json:"type"`
	Detail      string      `json:"detail"`
	Identifier  *Identifier `json:"identifier,omitempty"`
	Subproblems []Problem   `json:"subproblems,omitempty"`
	// Status is the HTTP status of an answer; 0 for what the type usually has.
	Status int `json:"-"`
	// RetryAfter is when it may be tried again; 0: it need not be.
	RetryAfter time.Duration `json:"-"`
	Err        error         `json:"-"` // for the log
}

func (p *Problem) Error() string {
	if p.Err != nil {
		return p.Type + ": " + p.Detail + ": " + p.Err.Error()
	}
	return p.Type + ": " + p.Detail
}

func (p *Problem) Unwrap() error { return p.Err }

func problem(kind, format string, args ...any) *Problem {
	return &Problem{Type: kind, Detail: fmt.Sprintf(format, args...)}
}

// about returns the problem with the identifier that it concerns.
func (p *Problem) about(id Identifier) *Problem {
	p.Identifier = &id
	return p
}

// several is one problem for what went wrong with each identifier (section 6.7.1).
func several(kind, detail string, each []Problem) *Problem {
	if len(each) == 1 {
		return &each[0]
	}
	return &Problem{Type: kind, Detail: detail, Subproblems: each}
}

// ProblemOf words any error for a client. What is no error of ours is serverInternal, and
// only the log has its cause.
func ProblemOf(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	for sentinel, kind := range map[error]string{
		jws.ErrMalformed: "malformed", jws.ErrAlgorithm: "badSignatureAlgorithm", jws.ErrKey: "badPublicKey", jws.ErrSignature: "malformed",
	} {
		if errors.Is(err, sentinel) {
			return &Problem{Type: kind, Detail: err.Error(), Err: err}
		}
	}
	f := fault.Of(err)
	out := &Problem{Detail: f.Message, Err: err}
	switch f.Kind {
	case fault.Invalid, fault.Conflict:
		out.Type = invalidType(f.Code)
		if f.Kind == fault.Conflict && out.Type == "malformed" {
			out.Status = 409
		}
	case fault.NotFound:
		out.Type, out.Status = "malformed", 404
	case fault.Denied, fault.Unauthenticated:
		out.Type = "unauthorized"
	case fault.Limited:
		out.Type, out.RetryAfter = "rateLimited", time.Minute
	case fault.Unavailable:
		out.Type, out.Status, out.RetryAfter = "serverInternal", 503, 5*time.Second
	default:
		out.Type, out.Detail = "serverInternal", "internal error; the server's log has the cause"
	}
	return out
}

// invalidType is the type of what the road to the certificate refuses.
func invalidType(code string) string {
	switch code {
	case "BadCSR", "KeyNotAllowed", "WeakKey", "KeyCompromised", "TooFewNames":
		return "badCSR"
	case "BadName", "NameNotAllowed", "TooManyNames":
		return "rejectedIdentifier"
	case "AlreadyRevoked":
		return "alreadyRevoked"
	case "UnknownReason", "BadReason":
		return "badRevocationReason"
	}
	return "malformed"
}
