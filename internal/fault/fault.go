// Package fault holds the few kinds of error that a service returns. A front door
// turns a kind into its protocol's shape once, in one place.
package fault

import (
	"errors"
	"fmt"
)

// Kind says what a caller can do about an error.
type Kind int

// The kinds. Anything that is not a *Error is Internal: a plain 500 and one log line.
const (
	Internal        Kind = iota // a defect or a broken machine; the caller learns nothing more
	Unauthenticated             // who are you
	Denied                      // you are known and may not
	NotFound                    // it is not there, or you may not know that it is
	Conflict                    // the object's state forbids it, now
	Invalid                     // the request is wrong; sending it again is pointless
	Limited                     // too much or too often; later it works
	Unavailable                 // something that we depend on is away; the outcome may be unknown
)

var names = [...]string{"internal", "unauthenticated", "denied", "not found", "conflict", "invalid", "limited", "unavailable"}

func (k Kind) String() string { return names[k] }

// Error is an error that a caller may see. Message says what happened and what to do
// next; Err is for the operator's log and never leaves the process.
type Error struct {
	Kind    Kind
	Code    string // a stable word for machines, such as "SecretNotFound"; may be empty
	Message string
	Err     error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// New makes an error of a kind. Everything in the message may be read by the caller.
func New(k Kind, code, format string, args ...any) *Error {
	return &Error{Kind: k, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an error of a kind whose cause only the operator sees.
func Wrap(err error, k Kind, code, message string) *Error {
	return &Error{Kind: k, Code: code, Message: message, Err: err}
}

// Of returns the *Error in err's chain, or an Internal one around err.
func Of(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Internal, Code: "Internal", Message: "internal error; the server's log has the cause", Err: err}
}

// Is reports whether err is of kind k.
func Is(err error, k Kind) bool { return err != nil && Of(err).Kind == k }

// HasCode reports whether err carries the code.
func HasCode(err error, code string) bool { return err != nil && Of(err).Code == code }
