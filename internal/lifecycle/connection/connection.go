// Package connection keeps the connections: configured instances of connectors, whose
// settings are sealed and never shown whole.
package connection

import (
	"context"
	"encoding/json"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
)

// The actions of this service. The scope is "/" for creating and listing, else
// "/connections/{id}". Run is what testing a connection and deploying over it need.
const (
	Read   access.Action = "Chatelaine/connections/read"
	Write  access.Action = "Chatelaine/connections/write"
	Delete access.Action = "Chatelaine/connections/delete"
	Run    access.Action = "Chatelaine/connections/run"
)

// Stored is a connection as the Store keeps it. Settings may hold secrets.
type Stored struct {
	ID        string
	Name      string // unique without regard to case
	Connector string // name of the definition
	Settings  connector.Settings
	Created   time.Time
	Updated   time.Time
	Checked   time.Time // last test; zero for never
	Problem   string    // of the last test; empty when it worked
	Revision  int64     // 1, 2, 3…
}

// Store keeps connections. Every method joins the transaction of ctx. What is not there
// is fault.NotFound.
type Store interface {
	// InsertConnection adds one; fault.Conflict when the name is taken.
	InsertConnection(ctx context.Context, s Stored) error
	// UpdateConnection replaces the row whose revision is s.Revision-1; fault.Conflict when
	// it has another revision or the name is taken.
	UpdateConnection(ctx context.Context, s Stored) error
	// DeleteConnection removes one; fault.Conflict while a lineage has a target on it.
	DeleteConnection(ctx context.Context, id string) error
	Connection(ctx context.Context, id string) (Stored, error)
	// Connections returns up to limit connections by name, after the given one.
	Connections(ctx context.Context, after string, limit int) ([]Stored, error)
}

// Deps are what the service needs.
type Deps struct {
	Definitions []connector.Definition
	Env         connector.Env // lent to every connector
	Store       Store
	Transact    audit.Transact
	Audit       audit.Recorder
	Guard       access.Guard
	Events      event.Emitter
	Now         func() time.Time
	Log         *slog.Logger
}

// Service is the connections.
type Service struct{ Deps }

// New makes the service.
func New(d Deps) *Service { return &Service{d} }

// Connection is what people see of one.
type Connection struct {
	ID        string           `json:"id"`
	Name      string           `json:"name"`
	Connector string           `json:"connector"`
	Kinds     []connector.Kind `json:"kinds"`
	Settings  map[string]any   `json:"settings"` // without secrets
	Secrets   []string         `json:"secrets"`  // the names of those that are set
	Created   time.Time        `json:"created"`
	Updated   time.Time        `json:"updated"`
	Checked   time.Time        `json:"checked,omitzero"`
	Problem   string           `json:"problem,omitempty"`
	Revision  int64            `json:"revision"`
}

// Path is the connection in records and events.
func Path(id string) string { return "/connections/" + id }

// show is what may be seen of a stored connection. One whose connector this program no
// longer has is shown without its settings.
func (s *Service) show(x Stored) (Connection, error) {
	c := Connection{
		ID: x.ID, Name: x.Name, Connector: x.Connector, Created: x.Created, Updated: x.Updated,
		Checked: x.Checked, Problem: x.Problem, Revision: x.Revision, Kinds: []connector.Kind{}, Secrets: []string{},
	}
	d, err := s.definition(x.Connector)
	if fault.Is(err, fault.Invalid) {
		c.Problem = "this program has no connector " + x.Connector
		return c, nil
	}
	if err != nil {
		return c, err
	}
	c.Kinds = d.Kinds()
	shown, set, err := connector.Redact(d.Config, x.Settings)
	c.Settings = shown
	if set != nil {
		c.Secrets = set
	}
	return c, err
}

func (s *Service) definition(name string) (connector.Definition, error) {
	for _, d := range s.Definitions {
		if d.Name == name {
			return d, nil
		}
	}
	return connector.Definition{}, fault.New(fault.Invalid, "UnknownConnector", "there is no connector %.64q", name)
}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$`)

func checkName(name string) error {
	if !nameForm.MatchString(name) || strings.HasSuffix(name, " ") {
		return fault.New(fault.Invalid, "InvalidName", "a connection's name has 1 to 64 letters, digits, spaces, dots, dashes and underscores")
	}
	return nil
}

// tell writes the record and the event of a change.
func (s *Service) tell(ctx context.Context, rec audit.Record, kind string, x Stored) error {
	rec.Details[audit.Connection] = x.ID
	if err := s.Audit.Record(ctx, rec); err != nil {
		return err
	}
	data, err := json.Marshal(map[string]string{"name": x.Name, "connector": x.Connector})
	if err != nil {
		return err
	}
	return s.Events.Emit(ctx, event.Event{Source: "/connections", Type: "Chatelaine.Connection" + kind, Subject: x.ID, Data: data})
}
