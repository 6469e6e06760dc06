package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
)

func (a *door) auditOperations() {
	register(a, operation{id: "listRecords", method: http.MethodGet, path: "/audit", summary: "List audit records, newest first"}, "audit", a.listRecords)
	register(a, operation{id: "verifyAudit", method: http.MethodPost, path: "/audit/verify", summary: "Verify the whole audit trail"}, "audit", a.verifyAudit)
}

func (a *door) listRecords(ctx context.Context, c access.Caller, in *struct {
	Before    int64     `query:"before" doc:"sequence; records before it" minimum:"0"`
	Operation string    `query:"operation"`
	Target    string    `query:"target" doc:"this path and everything below it"`
	Principal string    `query:"principal"`
	Outcome   string    `query:"outcome" enum:"success,denied,failed,"`
	Since     time.Time `query:"since"`
	Until     time.Time `query:"until"`
	Limit     int       `query:"limit" default:"100" minimum:"1" maximum:"1000"`
}) (*page[audit.Record], error) {
	records, err := a.Audit.List(ctx, c, audit.Query{
		Before: in.Before, Operation: in.Operation, Target: in.Target, Principal: in.Principal,
		Outcome: audit.Outcome(in.Outcome), Since: in.Since, Until: in.Until, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	var out page[audit.Record]
	out.Body.Items = append([]audit.Record{}, records...)
	if len(records) == in.Limit {
		out.Body.Next = strconv.FormatInt(records[len(records)-1].Sequence, 10)
	}
	return &out, nil
}

type reportOutput struct{ Body audit.Report }

func (a *door) verifyAudit(ctx context.Context, c access.Caller, _ *struct{}) (*reportOutput, error) {
	r, err := a.Audit.Verify(ctx, c)
	return &reportOutput{r}, err
}
