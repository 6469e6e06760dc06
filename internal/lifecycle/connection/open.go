package connection

import (
	"context"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
)

// The methods of this file make connectors for other services of the product. They do not
// authorise: who calls them has done so for what it does.

// Source opens a connection as a source. fault.Invalid when its connector offers none.
func (s *Service) Source(ctx context.Context, id string) (connector.Source, error) {
	return open(ctx, s, id, connector.SourceKind, func(d connector.Definition) connector.Constructor[connector.Source] { return d.Source })
}

// Target opens a connection as a target. fault.Invalid when its connector offers none.
func (s *Service) Target(ctx context.Context, id string) (connector.Target, error) {
	return open(ctx, s, id, connector.TargetKind, func(d connector.Definition) connector.Constructor[connector.Target] { return d.Target })
}

func open[T any](ctx context.Context, s *Service, id string, k connector.Kind, constructor func(connector.Definition) connector.Constructor[T]) (T, error) {
	var none T
	x, err := s.stored(ctx, id)
	if err != nil {
		return none, err
	}
	d, err := s.definition(x.Connector)
	if err != nil {
		return none, err
	}
	construct := constructor(d)
	if construct == nil {
		return none, fault.New(fault.Invalid, "KindNotOffered", "connection %q is no %s", x.Name, k)
	}
	return construct(x.Settings, s.env(x))
}

// CheckPlace tells whether a place is valid for the target that a connection is. It does
// not ask the other side.
func (s *Service) CheckPlace(ctx context.Context, id string, place connector.Settings) error {
	x, err := s.stored(ctx, id)
	if err != nil {
		return err
	}
	d, err := s.definition(x.Connector)
	if err != nil {
		return err
	}
	if d.Target == nil {
		return fault.New(fault.Invalid, "KindNotOffered", "connection %q is no %s", x.Name, connector.TargetKind)
	}
	return connector.Validate(d.Place, place)
}
