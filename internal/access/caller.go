// Package access decides who may do what: principals, roles, assignments, tokens.
package access

import (
	"context"

	"chatelaine.dev/internal/audit"
)

// Caller is who asks, and from where. A front door makes it from a verified token or
// session; services pass it on and never make one up, except by System.
type Caller struct {
	Principal   string // object id
	Name        string // for people
	Application string // client (application) id
	Issuer      string // who issued the token
	Address     string // client IP, without port
	Agent       string // client program, as it says
	Correlation string // id of the request, in log, response and record
	APIVersion  string // version of the protocol that the client asked for; may be empty

	system bool
}

// System is the product acting by itself, such as "renewal". It may do everything, and
// its records bear its name.
func System(name string) Caller {
	return Caller{Principal: "system", Name: name, system: true}
}

// IsSystem reports whether the product itself calls.
func (c Caller) IsSystem() bool { return c.system }

// Record begins a record of what the caller did.
func (c Caller) Record(operation, target string) audit.Record {
	r := audit.Record{
		Operation: operation, Target: target, Outcome: audit.Success,
		Principal: c.Principal, Name: c.Name, Application: c.Application,
		Address: c.Address, Agent: c.Agent, Correlation: c.Correlation,
		Details: map[audit.Field]string{},
	}
	if c.APIVersion != "" {
		r.Details[audit.APIVersion] = c.APIVersion
	}
	return r
}

// Action is one thing that can be allowed, in Azure's words for vaults
// ("Microsoft.KeyVault/vaults/secrets/getSecret/action") and in ours for the control
// plane ("Chatelaine/certificates/read").
type Action string

// Scope is where: "/", "/vaults/payroll", "/vaults/payroll/secrets/db", "/applications/shop".
// A role at a scope holds for everything below it. Object names are lower case.
type Scope string

// Guard authorises. It records a refusal itself, so that none is forgotten; the error
// is of kind Denied. operation is the name that the audit record bears.
type Guard interface {
	Authorize(ctx context.Context, c Caller, a Action, s Scope, operation string) error
}

// Origin is where a request comes from, as the front door saw it.
type Origin struct {
	Address     string // client IP, without port
	Agent       string // client program, as it says
	Correlation string // id of the request
	APIVersion  string // version of the protocol that the client asked for; may be empty
}

// From returns the caller as it comes from an origin.
func (c Caller) From(o Origin) Caller {
	c.Address, c.Agent, c.Correlation, c.APIVersion = o.Address, o.Agent, o.Correlation, o.APIVersion
	return c
}
