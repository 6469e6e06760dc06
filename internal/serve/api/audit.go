package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/audit/azure"
	"chatelaine.dev/internal/fault"
)

func (a *door) auditOperations() {
	const tag = "audit"
	register(a, tag, operation{id: "listRecords", method: http.MethodGet, path: "/audit", summary: "List audit records, newest first",
		action: access.ReadAudit, scope: "{target}"}, a.listRecords)
	export := operation{id: "exportRecords", method: http.MethodGet, path: "/audit/export", summary: "Export audit records, oldest first",
		about:  "For programs that take the trail elsewhere: next is always there, and what is written later follows it. A page has the whole of its last commit, so it may have more than limit.",
		action: access.ReadAudit, scope: "{target}"}
	register(a, tag, export, a.exportRecords)
	register(a, tag, export.as("exportAuditEvents", http.MethodGet, "/audit/export/azure", "Export audit records in the shape of Azure's AuditEvent, oldest first"), a.exportAuditEvents)
	register(a, tag, operation{id: "verifyAudit", method: http.MethodPost, path: "/audit/verify", summary: "Verify the whole audit trail",
		about:  "Reads every record and checks its hash, its columns and every signed checkpoint, the one outside the database too.",
		action: access.ReadAudit, scope: "/"}, a.verifyAudit)
}

func (a *door) listRecords(ctx context.Context, c access.Caller, in *struct {
	Paging
	Operation string    `query:"operation" maxLength:"100"`
	Target    string    `query:"target" maxLength:"512" doc:"this path and everything below it"`
	Principal string    `query:"principal" maxLength:"100" doc:"object id"`
	Outcome   string    `query:"outcome" enum:"success,denied,failed"`
	Since     time.Time `query:"since"`
	Until     time.Time `query:"until"`
}) (*page[audit.Record], error) {
	q := audit.Query{
		Operation: in.Operation, Target: in.Target, Principal: in.Principal, Outcome: audit.Outcome(in.Outcome),
		Since: in.Since, Until: in.Until, Limit: in.Limit,
	}
	if in.After != "" {
		var err error
		if q.Before, err = strconv.ParseInt(in.After, 10, 64); err != nil || q.Before < 1 {
			return nil, fault.New(fault.Invalid, "InvalidCursor", "%.64q is no next of this list; begin again without it", in.After)
		}
	}
	records, err := a.Audit.List(ctx, c, q)
	if err != nil {
		return nil, err
	}
	return pageOf(records, in.nextOf(len(records), func(last int) string {
		return strconv.FormatInt(records[last].Sequence, 10)
	})), nil
}

// Export are the query parameters of an export.
type Export struct {
	After     int64     `query:"after" minimum:"0" doc:"next of the page before; 0 for the beginning"`
	Limit     int       `query:"limit" default:"500" minimum:"1" maximum:"1000"`
	Operation string    `query:"operation" maxLength:"100"`
	Target    string    `query:"target" maxLength:"512" doc:"this path and everything below it"`
	Since     time.Time `query:"since"`
}

func (a *door) export(ctx context.Context, c access.Caller, in *Export) ([]audit.Record, string, error) {
	records, next, err := a.Audit.Export(ctx, c, in.After, audit.Query{Operation: in.Operation, Target: in.Target, Since: in.Since, Limit: in.Limit})
	return records, strconv.FormatInt(next, 10), err
}

func (a *door) exportRecords(ctx context.Context, c access.Caller, in *Export) (*page[audit.Record], error) {
	records, next, err := a.export(ctx, c, in)
	if err != nil {
		return nil, err
	}
	return pageOf(records, next), nil
}

func (a *door) exportAuditEvents(ctx context.Context, c access.Caller, in *Export) (*page[azure.Event], error) {
	records, next, err := a.export(ctx, c, in)
	if err != nil {
		return nil, err
	}
	events := make([]azure.Event, len(records))
	for i, r := range records {
		events[i] = a.Places.Event(r)
	}
	return pageOf(events, next), nil
}

func (a *door) verifyAudit(ctx context.Context, c access.Caller, _ *struct{}) (*answer[audit.Report], error) {
	return answerOf(a.Audit.Verify(ctx, c))
}
