package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
)

func (a *door) auditOperations() {
	const tag = "audit"
	register(a, tag, operation{id: "listRecords", method: http.MethodGet, path: "/audit", summary: "List audit records, newest first",
		action: access.ReadAudit, scope: "{target}"}, a.listRecords)
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

func (a *door) verifyAudit(ctx context.Context, c access.Caller, _ *struct{}) (*answer[audit.Report], error) {
	return answerOf(a.Audit.Verify(ctx, c))
}
