// Package connector is the contract between Chatelaine and the systems it works with.
// A connector offers up to six kinds of service, each a small interface: a Source finds
// certificates, a Target installs them, an Issuer issues them, a KeyService keeps keys, a
// Notifier tells people, a Trail gives up its audit log. One folder under connectors/
// holds one vendor; its Definition says everything that forms, schemas, documentation,
// redaction and the start-up check need.
//
// A connector is short and dumb: it makes the calls that it is asked for, once each.
// Retries, rate limits, proxies, tracing and time-outs are wrapped around it through Env
// and the context. Errors are of a fault kind where the kind is known: Invalid for what
// will never work, Denied for credentials that are refused, Limited for "later",
// Unavailable when the other side is away and the outcome may be unknown.
package connector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"time"
)

// Kind is one of the six services that a connector can offer.
type Kind string

// The kinds.
const (
	SourceKind     Kind = "source"
	TargetKind     Kind = "target"
	IssuerKind     Kind = "issuer"
	KeyServiceKind Kind = "key service"
	NotifierKind   Kind = "notifier"
	TrailKind      Kind = "trail"
)

// Checker is what every connector can do: try whether the configuration works, by the
// cheapest call that needs the credentials. It changes nothing on the other side.
type Checker interface {
	Check(ctx context.Context) error
}

// Env is what the product lends to a connector.
type Env struct {
	Log *slog.Logger
	Now func() time.Time
	// Transport makes the HTTP transport for a TLS configuration, with the product's proxy,
	// guards and tracing; nil means the standard library's. Connectors use Client.
	Transport func(*tls.Config) http.RoundTripper
}

// Constructor makes a connector of one kind from its settings.
type Constructor[T any] func(Settings, Env) (T, error)

// New makes a Constructor of a function that takes the decoded and validated Config.
func New[C, T any](make func(C, Env) (T, error)) Constructor[T] {
	return func(s Settings, e Env) (T, error) {
		c, err := Decode[C](s)
		if err != nil {
			var none T
			return none, err
		}
		return make(c, e)
	}
}

// Definition describes a connector. A kind whose constructor is nil is not offered.
type Definition struct {
	Name   string // never changes: connections refer to it; lower-case letters and digits
	Title  string // for people
	Readme string // Markdown: what it does, what it needs on the other side, what may go wrong
	Config any    // zero value of the configuration struct; see Schema for its tags
	Place  any    // targets only: zero value of the struct that says where one certificate goes; no secrets

	Source     Constructor[Source]
	Target     Constructor[Target]
	Issuer     Constructor[Issuer]
	KeyService Constructor[KeyService]
	Notifier   Constructor[Notifier]
	Trail      Constructor[Trail]
}

// Kinds lists what the connector offers, in the order of the constants.
func (d Definition) Kinds() []Kind {
	var ks []Kind
	for _, o := range []struct {
		kind    Kind
		offered bool
	}{
		{SourceKind, d.Source != nil},
		{TargetKind, d.Target != nil},
		{IssuerKind, d.Issuer != nil},
		{KeyServiceKind, d.KeyService != nil},
		{NotifierKind, d.Notifier != nil},
		{TrailKind, d.Trail != nil},
	} {
		if o.offered {
			ks = append(ks, o.kind)
		}
	}
	return ks
}

// Checker makes any one kind of the connector, to try the settings with.
func (d Definition) Checker(s Settings, e Env) (Checker, error) {
	switch {
	case d.Source != nil:
		return d.Source(s, e)
	case d.Target != nil:
		return d.Target(s, e)
	case d.Issuer != nil:
		return d.Issuer(s, e)
	case d.KeyService != nil:
		return d.KeyService(s, e)
	case d.Notifier != nil:
		return d.Notifier(s, e)
	case d.Trail != nil:
		return d.Trail(s, e)
	}
	return nil, fmt.Errorf("connector %q offers nothing", d.Name)
}

var definitionName = regexp.MustCompile(`^[a-z][a-z0-9]{1,30}$`)

// Validate reports what is wrong with the definition itself. The start-up check and a
// test over the list of connectors call it.
func (d Definition) Validate() error {
	switch {
	case !definitionName.MatchString(d.Name):
		return fmt.Errorf("connector name %q: want lower-case letters and digits", d.Name)
	case d.Title == "" || d.Readme == "":
		return fmt.Errorf("connector %q: title and readme are required", d.Name)
	case len(d.Kinds()) == 0:
		return fmt.Errorf("connector %q offers nothing", d.Name)
	case (d.Target != nil) != (d.Place != nil):
		return fmt.Errorf("connector %q: a target needs a Place, and only a target has one", d.Name)
	}
	_, err := SchemaOf(d.Config)
	if d.Place != nil {
		err = errors.Join(err, checkPlace(d.Place))
	}
	if err != nil {
		return fmt.Errorf("connector %q: %w", d.Name, err)
	}
	return nil
}

// checkPlace wants a place without secrets: places are shown and kept with the lineages
// that use them, and credentials belong to the connection.
func checkPlace(place any) error {
	s, err := SchemaOf(place)
	if err != nil {
		return err
	}
	for _, f := range s {
		if f.Type == Hidden {
			return fmt.Errorf("setting %q of a place is a secret; move it to the configuration", f.Name)
		}
	}
	return nil
}
