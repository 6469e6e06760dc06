package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/review"
)

// issuanceAudit is an audit of everything that was issued.
type issuanceAudit struct {
	ID        string    `json:"id"`
	State     string    `json:"state" enum:"queued,running,completed,failed"`
	Queued    time.Time `json:"queued"`
	Started   time.Time `json:"started,omitzero"`
	Finished  time.Time `json:"finished,omitzero"`
	Total     int64     `json:"total" doc:"certificates that had been issued when it was asked for"`
	Checked   int64     `json:"checked"`
	Found     int64     `json:"found" doc:"findings: a certificate may break many rules"`
	Problem   string    `json:"problem,omitempty"`
	Requester string    `json:"requester,omitempty" doc:"principal; none when it came by itself"`
}

func modelOfAudit(r review.Review) issuanceAudit {
	return issuanceAudit{r.ID, string(r.State), r.Queued, r.Started, r.Finished, r.Total, r.Checked, r.Found, r.Problem, r.Requester}
}

// issuanceFinding is a rule that an issued certificate breaks.
type issuanceFinding struct {
	Serial    string `json:"serial"`
	Authority string `json:"authority"`
	Profile   string `json:"profile"`
	Subject   string `json:"subject"`
	Rule      string `json:"rule" doc:"of zlint; own_… is a rule of ours, weak_… a weakness of the key"`
	Detail    string `json:"detail,omitempty"`
}

func (a *door) issuanceAuditOperations() {
	const tag = "issuance audits"
	register(a, tag, operation{id: "listIssuanceAudits", method: http.MethodGet, path: "/issuance-audits", summary: "List issuance audits, newest first",
		action: review.Read, scope: "/"}, a.listIssuanceAudits)
	register(a, tag, operation{id: "startIssuanceAudit", method: http.MethodPost, path: "/issuance-audits", summary: "Lint again everything that was ever issued",
		about:  "The work goes on after the answer. One is under way at a time.",
		action: review.Run, scope: "/", status: http.StatusAccepted}, a.startIssuanceAudit)
	register(a, tag, operation{id: "getIssuanceAudit", method: http.MethodGet, path: "/issuance-audits/{audit}", summary: "Get an issuance audit and how far it is",
		action: review.Read, scope: "/"}, a.getIssuanceAudit)
	register(a, tag, operation{id: "listIssuanceFindings", method: http.MethodGet, path: "/issuance-audits/{audit}/findings", summary: "List what an issuance audit found",
		action: review.Read, scope: "/"}, a.listIssuanceFindings)
}

func (a *door) listIssuanceAudits(ctx context.Context, c access.Caller, in *Paging) (*page[issuanceAudit], error) {
	list, err := a.Reviews.List(ctx, c)
	if err != nil {
		return nil, err
	}
	models := make([]issuanceAudit, len(list))
	for i, r := range list {
		models[i] = modelOfAudit(r)
	}
	return cut(*in, models, func(x issuanceAudit) string { return x.ID }), nil
}

func (a *door) startIssuanceAudit(ctx context.Context, c access.Caller, _ *struct{}) (*answer[issuanceAudit], error) {
	r, err := a.Reviews.Start(ctx, c)
	return answerOf(modelOfAudit(r), err)
}

// AuditPath names an issuance audit.
type AuditPath struct {
	Audit string `path:"audit" maxLength:"64" doc:"id"`
}

func (a *door) getIssuanceAudit(ctx context.Context, c access.Caller, in *AuditPath) (*answer[issuanceAudit], error) {
	r, err := a.Reviews.Get(ctx, c, in.Audit)
	return answerOf(modelOfAudit(r), err)
}

func (a *door) listIssuanceFindings(ctx context.Context, c access.Caller, in *struct {
	AuditPath
	Paging
}) (*page[issuanceFinding], error) {
	serial, rule, _ := strings.Cut(in.After, "/")
	list, err := a.Reviews.Findings(ctx, c, in.Audit, [2]string{serial, rule}, in.Limit)
	if err != nil {
		return nil, err
	}
	items := make([]issuanceFinding, len(list))
	for i, f := range list {
		items[i] = issuanceFinding{f.Serial, f.Authority, f.Profile, f.Subject, f.Rule, f.Detail}
	}
	return pageOf(items, in.nextOf(len(items), func(last int) string { return list[last].Serial + "/" + list[last].Rule })), nil
}
