// Package backup saves a Managed HSM whole in a storage container that a client names, and
// brings it back, or one key of it (contract §1.5). What leaves is encrypted under the
// HSM's security domain: it opens in every HSM that was given that domain, and nowhere else.
package backup

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"chatelaine.dev/internal/vault/hsm"
	"chatelaine.dev/internal/vault/hsm/domain"
	"chatelaine.dev/internal/vault/hsm/role"
	"chatelaine.dev/internal/vault/object"
)

// Container is where backups lie. Its errors are faults whose messages a client may read.
type Container interface {
	// Put writes a blob, over an older one.
	Put(ctx context.Context, name string, data []byte) error
	// Get reads a blob of at most limit bytes; fault.NotFound.
	Get(ctx context.Context, name string, limit int) ([]byte, error)
	// Delete removes a blob.
	Delete(ctx context.Context, name string) error
	// URL is the address of a folder, without what opens it.
	URL(folder string) string
}

// Containers returns the container at an address, opened by a token; fault.Invalid where
// there can be none.
type Containers func(address string, token Token) (Container, error)

// Token opens a container: a shared access signature. It never prints.
type Token string

const hidden = "[SAS token]"

// Format hides the token from every verb of fmt.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the token.
func (Token) LogValue() slog.Value { return slog.StringValue(hidden) }

// Run is the work of one job: the arguments of the queue's.
type Run struct {
	Vault string `json:"vault"`
	Job   string `json:"job"`
}

// Kind names the work.
func (Run) Kind() string { return "hsm.backup" }

// limit is the longest that a job may take.
const limit = time.Hour

// Limit implements job.Long.
func (Run) Limit() time.Duration { return limit }

// Config is what the service needs.
type Config struct {
	object.Deps
	Domains    *domain.Service
	Roles      *role.Service
	Containers Containers
	// Enqueue has a job run, once the transaction of ctx has committed.
	Enqueue func(ctx context.Context, r Run) error
}

// Service makes backups and restores them.
type Service struct {
	hsm.Deps
	domains    *domain.Service
	roles      *role.Service
	containers Containers
	enqueue    func(ctx context.Context, r Run) error
}

// New makes the service.
func New(c Config) *Service {
	return &Service{Deps: hsm.Deps{Deps: c.Deps}, domains: c.Domains, roles: c.Roles, containers: c.Containers, enqueue: c.Enqueue}
}
