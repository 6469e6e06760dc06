package access

import (
	"context"

	"chatelaine.dev/internal/audit"
)

// ReadAudit is the action of whoever reads the audit trail.
const ReadAudit Action = ControlPrefix + "audit/read"

// Trail is the audit trail as it is read; *audit.Trail is one.
type Trail interface {
	List(ctx context.Context, q audit.Query) ([]audit.Record, error)
	After(ctx context.Context, after int64, q audit.Query) ([]audit.Record, int64, error)
	Verify(ctx context.Context, external [][]byte, progress func(int64)) (audit.Report, error)
}

// AuditReader lets those read the audit trail who may.
type AuditReader struct {
	Trail Trail
	Guard Guard
}

// List returns records, newest first. Whoever may read the trail at a scope alone reads
// what happened there: the query's target is the scope that is authorised.
func (a AuditReader) List(ctx context.Context, c Caller, q audit.Query) ([]audit.Record, error) {
	if err := a.authorize(ctx, c, &q, "AuditList"); err != nil {
		return nil, err
	}
	return a.Trail.List(ctx, q)
}

// Export returns records that follow a sequence, oldest first, and the sequence to go on
// after, as audit.Trail.After does. It is authorised as List is.
func (a AuditReader) Export(ctx context.Context, c Caller, after int64, q audit.Query) ([]audit.Record, int64, error) {
	if err := a.authorize(ctx, c, &q, "AuditExport"); err != nil {
		return nil, after, err
	}
	return a.Trail.After(ctx, after, q)
}

// authorize asks for the scope that is the query's target, which gets its one form.
func (a AuditReader) authorize(ctx context.Context, c Caller, q *audit.Query, operation string) error {
	scope := Root
	if q.Target != "" {
		var err error
		if scope, err = ParseScope(q.Target); err != nil {
			return err
		}
	}
	if err := a.Guard.Authorize(ctx, c, ReadAudit, scope, operation); err != nil {
		return err
	}
	if q.Target != "" {
		q.Target = string(scope)
	}
	return nil
}

// Verify checks the whole trail.
func (a AuditReader) Verify(ctx context.Context, c Caller, external [][]byte) (audit.Report, error) {
	if err := a.Guard.Authorize(ctx, c, ReadAudit, Root, "AuditVerify"); err != nil {
		return audit.Report{}, err
	}
	return a.Trail.Verify(ctx, external, nil)
}
