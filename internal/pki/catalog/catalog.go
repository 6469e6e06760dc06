// Package catalog keeps the profiles: those that come with the product, and those that
// operators make. A reader sees one unchanging set at a time; a change replaces it whole.
package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/pki/profile"
)

// Actions of profiles. The scope is "/profiles/{name}", or "/" to list and to make one.
const (
	Read   access.Action = "Chatelaine/profiles/read"
	Write  access.Action = "Chatelaine/profiles/write"
	Delete access.Action = "Chatelaine/profiles/delete"
)

// Entry is a profile and what is kept about it.
type Entry struct {
	Profile  profile.Profile
	BuiltIn  bool      // it comes with the product and does not change; copy it
	Revision int64     // 1, 2, 3…; 0 when it is built in
	Updated  time.Time // zero when it is built in
	Updater  string    // principal
}

// Row is an entry as it is stored: sealed, so that nobody widens a profile in the database.
type Row struct {
	Name     string
	Revision int64
	Sealed   []byte
}

// Store keeps rows. Its writes join the transaction of ctx and raise the generation.
type Store interface {
	// ProfileGeneration is another number after every change.
	ProfileGeneration(ctx context.Context) (int64, error)
	// Profiles returns every row.
	Profiles(ctx context.Context) ([]Row, error)
	// InsertProfile adds a row; fault.Conflict when the name is taken.
	InsertProfile(ctx context.Context, r Row) error
	// UpdateProfile replaces the row of the revision before; fault.Conflict when there is none.
	UpdateProfile(ctx context.Context, r Row) error
	// DeleteProfile removes a row; fault.NotFound when there is none.
	DeleteProfile(ctx context.Context, name string) error
}

// Sealer seals rows under a name.
type Sealer interface {
	Seal(name string, plaintext []byte) []byte
	Open(name string, sealed []byte) ([]byte, error)
}

// Deps is what a Service needs.
type Deps struct {
	Store    Store
	Sealer   Sealer
	Transact audit.Transact
	Audit    audit.Recorder
	Events   event.Emitter
	Guard    access.Guard
	// Check refuses what the profile's own rules cannot know, such as a standard that no
	// lint checks; may be nil.
	Check func(profile.Profile) error
	Now   func() time.Time
	Log   *slog.Logger
}

// Service is the catalog. It implements profile.Source.
type Service struct {
	Deps
	builtIn profile.Set
	current atomic.Pointer[snapshot]
	reading sync.Mutex // an older snapshot must not replace a newer one
}

// snapshot is what a reader sees. It does not change.
type snapshot struct {
	generation int64
	set        profile.Set
	entries    map[string]Entry
}

// New makes the catalog and reads it.
func New(ctx context.Context, d Deps) (*Service, error) {
	builtIn, err := profile.BuiltIn()
	if err != nil {
		return nil, err
	}
	s := &Service{Deps: d, builtIn: builtIn}
	for _, p := range builtIn.All() {
		if err := s.check(p); err != nil {
			return nil, fmt.Errorf("profile %s: %w", p.Name, err)
		}
	}
	return s, s.reload(ctx, true)
}

// Get implements profile.Source.
func (s *Service) Get(name string) (profile.Profile, error) { return s.current.Load().set.Get(name) }

// All implements profile.Source.
func (s *Service) All() []profile.Profile { return s.current.Load().set.All() }

// Reload reads the profiles when another node has changed them.
func (s *Service) Reload(ctx context.Context) error { return s.reload(ctx, false) }

func (s *Service) reload(ctx context.Context, always bool) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	generation, err := s.Store.ProfileGeneration(ctx)
	if err != nil {
		return err
	}
	if old := s.current.Load(); !always && old != nil && old.generation == generation {
		return nil
	}
	rows, err := s.Store.Profiles(ctx)
	if err != nil {
		return err
	}
	next := &snapshot{generation: generation, entries: map[string]Entry{}}
	for _, p := range s.builtIn.All() {
		next.entries[p.Name] = Entry{Profile: p, BuiltIn: true}
	}
	for _, r := range rows {
		e, err := s.open(r)
		if err != nil { // one that cannot be read issues nothing, and stops nobody else
			s.Log.Error("a profile cannot be read and is left out", "profile", r.Name, "error", err)
			continue
		}
		next.entries[r.Name] = e // also where a newer product brings one of the same name
	}
	list := make([]profile.Profile, 0, len(next.entries))
	for _, e := range next.entries {
		list = append(list, e.Profile)
	}
	if next.set, err = profile.NewSet(list); err != nil {
		return err
	}
	s.current.Store(next)
	return nil
}

// stored is an entry inside its seal.
type stored struct {
	Profile json.RawMessage `json:"profile"`
	Updated time.Time       `json:"updated"`
	Updater string          `json:"updater"`
}

// place binds a seal to the name and revision of the row.
func place(name string, revision int64) string { return name + "/" + strconv.FormatInt(revision, 10) }

func (s *Service) seal(e Entry) (Row, error) {
	text, err := json.Marshal(e.Profile)
	if err != nil {
		return Row{}, err
	}
	plain, err := json.Marshal(stored{text, e.Updated, e.Updater})
	if err != nil {
		return Row{}, err
	}
	return Row{e.Profile.Name, e.Revision, s.Sealer.Seal(place(e.Profile.Name, e.Revision), plain)}, nil
}

func (s *Service) open(r Row) (Entry, error) {
	plain, err := s.Sealer.Open(place(r.Name, r.Revision), r.Sealed)
	if err != nil {
		return Entry{}, err
	}
	var x stored
	if err := json.Unmarshal(plain, &x); err != nil {
		return Entry{}, err
	}
	p, err := profile.ParseOne(x.Profile)
	if err != nil {
		return Entry{}, err
	}
	if p.Name != r.Name {
		return Entry{}, errors.New("the row is of another profile")
	}
	return Entry{Profile: p, Revision: r.Revision, Updated: x.Updated, Updater: x.Updater}, nil
}

func (s *Service) check(p profile.Profile) error {
	if s.Check == nil {
		return nil
	}
	return s.Check(p)
}

// Path is a profile's place in scopes and records.
func Path(name string) string { return "/profiles/" + name }

// tell records a change and emits its event.
func (s *Service) tell(ctx context.Context, c access.Caller, kind string, e Entry) error {
	text, err := json.Marshal(e.Profile)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	r := c.Record("Profile"+kind, Path(e.Profile.Name))
	r.Details[audit.Profile] = e.Profile.Name
	r.Details[audit.Digest] = hex.EncodeToString(sum[:])
	if err := s.Audit.Record(ctx, r); err != nil {
		return err
	}
	data, err := json.Marshal(struct {
		Name     string `json:"name"`
		Revision int64  `json:"revision"`
	}{e.Profile.Name, e.Revision})
	if err != nil {
		return err
	}
	return s.Events.Emit(ctx, event.Event{Source: "/profiles", Type: "Chatelaine.Profile" + kind + "d", Subject: e.Profile.Name, Data: data})
}

// unknown is the error of a profile that is not there.
func unknown(name string) error {
	return fault.New(fault.NotFound, "UnknownProfile", "there is no profile %.64q; the list of profiles names each", name)
}
