// Package filter is the language in which people and programs ask the inventory:
//
//	expires < 90d and not (issuer ~ "Example CA" or stage = managed)
//
// A condition is a field, an operator (= != < <= > >= and ~ for "contains") and a value.
// Conditions are joined by and, or, not and parentheses; not binds closest, then and,
// then or. A field that is true or false may stand alone. Texts are compared without
// regard to case and need quotes only when they contain a space, a quote, a parenthesis
// or an operator; within quotes a backslash keeps the next character.
//
// Times are dates (2027-03-15, that whole day in UTC), quoted RFC 3339 times, now, or a
// duration from now: "expires < 90d" is before ninety days from now, "lastseen < -7d" more
// than a week ago. Durations are whole numbers of s, m, h, d, w or y (365 days).
//
// A field with several values, such as san or port, matches when any of them does, and
// != is the opposite of =: no value is equal. What is unknown matches nothing but !=.
package filter

import (
	"fmt"

	"chatelaine.dev/internal/fault"
)

// Limits on a filter's text. Beyond them it is refused, not cut.
const (
	MaxLength = 4096 // bytes
	MaxTerms  = 100  // conditions
	maxDepth  = 32   // parentheses and nots within each other
)

// Node is a parsed filter: And, Or, Not, Cmp or All.
type Node interface{ node() }

// All matches every certificate: the empty filter.
type All struct{}

// And matches when all of its nodes do.
type And []Node

// Or matches when one of its nodes does.
type Or []Node

// Not matches when the inner node does not.
type Not struct{ Node Node }

// Op is an operator.
type Op string

// The operators. Every Cmp has one of the first five: != is a Not around an Eq, and <= and >=
// of whole numbers become < and >= by moving the bound.
const (
	Eq       Op = "="
	Contains Op = "~"
	Lt       Op = "<"
	Ge       Op = ">="
	Within   Op = "within" // from Low up to but not including High

	ne Op = "!="
	gt Op = ">"
	le Op = "<="
)

// Cmp is one condition with its value already resolved: texts in lower case, times as
// microseconds since 1970, durations as seconds, statuses at the time of parsing.
type Cmp struct {
	Field     Field
	Op        Op
	Text      string // Eq and Contains of texts
	Bool      bool   // Eq of booleans
	Low, High int64  // numbers: Lt compares with High, Ge with Low, Within with both
	Now       int64  // of a Status condition, microseconds
}

func (All) node() {}
func (And) node() {}
func (Or) node()  {}
func (Not) node() {}
func (Cmp) node() {}

// Error is a filter that cannot be read. Column counts characters from 1.
type Error struct {
	Column  int
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("filter, column %d: %s", e.Column, e.Message) }

// Unwrap makes it a fault.Invalid for the front doors.
func (e *Error) Unwrap() error {
	return fault.New(fault.Invalid, "InvalidFilter", "%s", e.Error())
}
