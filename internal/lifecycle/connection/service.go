package connection

import (
	"context"
	"time"
	"uuid"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/fault"
)

// Draft is a connection to be made or changed.
type Draft struct {
	Name      string             `json:"name"`
	Connector string             `json:"connector"`
	Settings  connector.Settings `json:"settings"`
}

// Create adds a connection. Its settings must be valid; whether they work is for Test.
func (s *Service) Create(ctx context.Context, c access.Caller, d Draft) (Connection, error) {
	if err := s.Guard.Authorize(ctx, c, Write, access.Root, "ConnectionCreate"); err != nil {
		return Connection{}, err
	}
	if err := checkName(d.Name); err != nil {
		return Connection{}, err
	}
	def, err := s.definition(d.Connector)
	if err != nil {
		return Connection{}, err
	}
	if err := connector.Validate(def.Config, d.Settings); err != nil {
		return Connection{}, err
	}
	x := Stored{ID: uuid.NewV4().String(), Name: d.Name, Connector: d.Connector, Settings: d.Settings, Created: s.Now(), Updated: s.Now(), Revision: 1}
	err = s.Transact(ctx, func(ctx context.Context) error {
		if err := s.Store.InsertConnection(ctx, x); err != nil {
			return taken(err, d.Name)
		}
		return s.tell(ctx, c.Record("ConnectionCreate", Path(x.ID)), "Created", x)
	})
	if err != nil {
		return Connection{}, err
	}
	return s.show(x)
}

// Get returns one connection without its secrets.
func (s *Service) Get(ctx context.Context, c access.Caller, id string) (Connection, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Scope(Path(id)), "ConnectionGet"); err != nil {
		return Connection{}, err
	}
	x, err := s.stored(ctx, id)
	if err != nil {
		return Connection{}, err
	}
	return s.show(x)
}

const maxPage = 500

// List returns up to limit connections by name, after the one named; limit is 1 to 500.
func (s *Service) List(ctx context.Context, c access.Caller, after string, limit int) ([]Connection, error) {
	if err := s.Guard.Authorize(ctx, c, Read, access.Root, "ConnectionList"); err != nil {
		return nil, err
	}
	if limit < 1 || limit > maxPage {
		return nil, fault.New(fault.Invalid, "InvalidLimit", "a page has 1 to %d rows, not %d", maxPage, limit)
	}
	stored, err := s.Store.Connections(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	list := make([]Connection, len(stored))
	for i, x := range stored {
		if list[i], err = s.show(x); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Update changes name and settings. A secret that the draft does not name stays, unless
// the place that it is sent to changes. The connector cannot change.
func (s *Service) Update(ctx context.Context, c access.Caller, id string, d Draft) (Connection, error) {
	if err := s.Guard.Authorize(ctx, c, Write, access.Scope(Path(id)), "ConnectionUpdate"); err != nil {
		return Connection{}, err
	}
	if err := checkName(d.Name); err != nil {
		return Connection{}, err
	}
	var x Stored
	err := s.Transact(ctx, func(ctx context.Context) error {
		var err error
		if x, err = s.stored(ctx, id); err != nil {
			return err
		}
		if d.Connector != "" && d.Connector != x.Connector {
			return fault.New(fault.Invalid, "ConnectorChanged", "a connection keeps its connector; make a new connection")
		}
		def, err := s.definition(x.Connector)
		if err != nil {
			return err
		}
		if x.Settings, err = connector.Merge(def.Config, x.Settings, d.Settings); err != nil {
			return err
		}
		if err := connector.Validate(def.Config, x.Settings); err != nil {
			return err
		}
		x.Name, x.Updated, x.Checked, x.Problem = d.Name, s.Now(), time.Time{}, ""
		x.Revision++
		if err := s.Store.UpdateConnection(ctx, x); err != nil {
			return taken(err, d.Name)
		}
		return s.tell(ctx, c.Record("ConnectionUpdate", Path(id)), "Updated", x)
	})
	if err != nil {
		return Connection{}, err
	}
	return s.show(x)
}

// Delete removes a connection. While a lineage has a target on it, it is fault.Conflict.
func (s *Service) Delete(ctx context.Context, c access.Caller, id string) error {
	if err := s.Guard.Authorize(ctx, c, Delete, access.Scope(Path(id)), "ConnectionDelete"); err != nil {
		return err
	}
	return s.Transact(ctx, func(ctx context.Context) error {
		x, err := s.stored(ctx, id)
		if err != nil {
			return err
		}
		if err := s.Store.DeleteConnection(ctx, id); err != nil {
			return err
		}
		return s.tell(ctx, c.Record("ConnectionDelete", Path(id)), "Deleted", x)
	})
}

// testTimeout bounds one test.
const testTimeout = 30 * time.Second

// Test tries the connection and keeps what came of it. An error is returned only when
// the test could not be made; the connection's Problem says what the other side answered.
func (s *Service) Test(ctx context.Context, c access.Caller, id string) (Connection, error) {
	if err := s.Guard.Authorize(ctx, c, Run, access.Scope(Path(id)), "ConnectionTest"); err != nil {
		return Connection{}, err
	}
	x, err := s.stored(ctx, id)
	if err != nil {
		return Connection{}, err
	}
	problem, tested := s.try(ctx, x), x.Revision
	err = s.Transact(ctx, func(ctx context.Context) error {
		if x, err = s.stored(ctx, id); err != nil {
			return err
		}
		if x.Revision != tested {
			return fault.New(fault.Conflict, "ConnectionChanged", "the connection was changed while it was tested; test it again")
		}
		x.Checked, x.Problem = s.Now(), problem
		x.Revision++
		if err := s.Store.UpdateConnection(ctx, x); err != nil {
			return err
		}
		return s.tell(ctx, c.Record("ConnectionTest", Path(id)), "Tested", x)
	})
	if err != nil {
		return Connection{}, err
	}
	return s.show(x)
}

// try returns what is wrong, for people, or nothing.
func (s *Service) try(ctx context.Context, x Stored) string {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	d, err := s.definition(x.Connector)
	if err == nil {
		var made connector.Checker
		if made, err = d.Checker(x.Settings, s.env(x)); err == nil {
			err = made.Check(ctx)
		}
	}
	if err == nil {
		return ""
	}
	s.Log.Warn("connection does not work", "connection", x.ID, "connector", x.Connector, "error", err)
	return fault.Of(err).Message
}

func (s *Service) env(x Stored) connector.Env {
	e := s.Env
	if e.Log == nil {
		e.Log = s.Log
	}
	if e.Now == nil {
		e.Now = s.Now
	}
	e.Log = e.Log.With("connection", x.ID, "connector", x.Connector)
	return e
}

func (s *Service) stored(ctx context.Context, id string) (Stored, error) {
	x, err := s.Store.Connection(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return x, fault.New(fault.NotFound, "ConnectionNotFound", "there is no connection %.64q", id)
	}
	return x, err
}

func taken(err error, name string) error {
	if fault.HasCode(err, "NameTaken") {
		return fault.New(fault.Conflict, "NameTaken", "there is a connection named %q already", name)
	}
	return err
}
