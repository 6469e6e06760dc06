package lineage

import (
	"context"
	"time"
)

// Store keeps lineages. Every method joins the transaction of ctx. What is not there is
// fault.NotFound.
type Store interface {
	// InsertLineage adds one; fault.Conflict with the code NameTaken when the name is taken.
	InsertLineage(ctx context.Context, l Lineage) error
	// UpdateLineage replaces the row whose revision is l.Revision-1; fault.Conflict when it
	// has another revision (Changed) or the name is taken (NameTaken).
	UpdateLineage(ctx context.Context, l Lineage) error
	// DeleteLineage removes the row with the revision, and the list of its certificates;
	// fault.Conflict when it has another.
	DeleteLineage(ctx context.Context, id string, revision int64) error
	Lineage(ctx context.Context, id string) (Lineage, error)
	// Lineages returns a page in the order of names.
	Lineages(ctx context.Context, q Query) ([]Lineage, error)
	// DueLineages returns up to limit ids that are due at now, the longest due first, leaving
	// out those with a request under way.
	DueLineages(ctx context.Context, now time.Time, limit int) ([]string, error)
	// AddMember makes a certificate the current one of a lineage and the one before it replaced.
	AddMember(ctx context.Context, lineage string, m Member) error
	// Members returns the latest certificates of a lineage, newest first.
	Members(ctx context.Context, lineage string, limit int) ([]Member, error)
}

// Query asks for a page of lineages.
type Query struct {
	Owner string // only this owner's; empty for all
	After string // name; empty for the first page
	Limit int    // 1 to 500
}
