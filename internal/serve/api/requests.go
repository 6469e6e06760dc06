package api

import (
	"context"
	"net/http"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/enrollment"
)

func (a *door) requestOperations() {
	const tag = "requests"
	write := operation{action: enrollment.Write, scope: "/lineages/{lineage}"}
	decide := operation{action: enrollment.Approve, scope: "/lineages/{lineage}"}
	register(a, tag, operation{id: "listRequests", method: http.MethodGet, path: "/requests", summary: "List requests, newest first",
		about:  "With the parameter lineage the scope is that lineage.",
		action: enrollment.Read, scope: "/"}, a.listRequests)
	register(a, tag, operation{id: "getRequest", method: http.MethodGet, path: "/requests/{request}", summary: "Get a request, and how far it has come",
		action: enrollment.Read, scope: "/lineages/{lineage}"}, a.getRequest)
	register(a, tag, write.as("createRequest", http.MethodPost, "/requests", "Ask for the next certificate of a lineage, or its first").answering(http.StatusAccepted), a.createRequest)
	register(a, tag, decide.as("approveRequest", http.MethodPost, "/requests/{request}/approve", "Agree to a request; never to one's own"), a.approveRequest)
	register(a, tag, decide.as("denyRequest", http.MethodPost, "/requests/{request}/deny", "Decline a request"), a.denyRequest)
	register(a, tag, write.as("cancelRequest", http.MethodPost, "/requests/{request}/cancel", "Give a request up"), a.cancelRequest)
	register(a, tag, write.as("retryRequest", http.MethodPost, "/requests/{request}/retry", "Try a failed request again from the step that failed"), a.retryRequest)
	register(a, tag, operation{id: "revokeCertificate", method: http.MethodPost, path: "/certificates/{sha256}/revoke", summary: "Revoke a certificate of the inventory",
		about:  "It happens at once and asks nobody. The scope is the certificate's lineage if it has one.",
		action: enrollment.Revoke, scope: "/", status: http.StatusAccepted}, a.revokeCertificate)
	register(a, tag, operation{id: "requestRevocation", method: http.MethodPost, path: "/certificates/{sha256}/request-revocation",
		summary: "Ask somebody else to agree to the revocation of a certificate",
		action:  enrollment.Write, scope: "/", status: http.StatusAccepted}, a.requestRevocation)
}

func (a *door) listRequests(ctx context.Context, c access.Caller, in *struct {
	Paging
	Lineage string `query:"lineage" maxLength:"100" doc:"id"`
	State   string `query:"state" enum:"pending,approved,in_progress,completed,failed,denied,canceled,expired"`
	Kind    string `query:"kind" enum:"enroll,renew,revoke,certify,direct"`
}) (*page[enrollment.Request], error) {
	list, err := a.Requests.List(ctx, c, enrollment.Query{
		Lineage: in.Lineage, State: enrollment.State(in.State), Kind: enrollment.Kind(in.Kind), After: in.After, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	return pageOf(list, in.nextOf(len(list), func(last int) string { return list[last].ID })), nil
}

// RequestPath names a request.
type RequestPath struct {
	Request string `path:"request" maxLength:"100" doc:"id"`
}

func (a *door) getRequest(ctx context.Context, c access.Caller, in *RequestPath) (*answer[enrollment.Request], error) {
	return answerOf(a.Requests.Get(ctx, c, in.Request))
}

func (a *door) createRequest(ctx context.Context, c access.Caller, in *struct {
	Body struct {
		Lineage string `json:"lineage" maxLength:"100" doc:"id"`
		Comment string `json:"comment,omitempty" maxLength:"2000" doc:"why it is wanted"`
		Once    string `json:"once,omitempty" maxLength:"200" doc:"an idempotency key: the same caller's second draft with it is the first one's request"`
	}
}) (*answer[enrollment.Request], error) {
	return answerOf(a.Requests.Create(ctx, c, enrollment.Draft(in.Body)))
}

// decision is a request and what somebody says to it.
type decision struct {
	RequestPath
	Body *struct {
		Comment string `json:"comment,omitempty" maxLength:"2000"`
	}
}

func (d decision) comment() string {
	if d.Body == nil {
		return ""
	}
	return d.Body.Comment
}

func (a *door) approveRequest(ctx context.Context, c access.Caller, in *decision) (*answer[enrollment.Request], error) {
	return answerOf(a.Requests.Approve(ctx, c, in.Request, in.comment()))
}

func (a *door) denyRequest(ctx context.Context, c access.Caller, in *decision) (*answer[enrollment.Request], error) {
	return answerOf(a.Requests.Deny(ctx, c, in.Request, in.comment()))
}

func (a *door) cancelRequest(ctx context.Context, c access.Caller, in *RequestPath) (*answer[enrollment.Request], error) {
	return answerOf(a.Requests.Cancel(ctx, c, in.Request))
}

func (a *door) retryRequest(ctx context.Context, c access.Caller, in *RequestPath) (*answer[enrollment.Request], error) {
	return answerOf(a.Requests.Retry(ctx, c, in.Request))
}

// revocationInput is a certificate and why it is to be revoked.
type revocationInput struct {
	CertificatePath
	Body *struct {
		Reason  string `json:"reason,omitempty" enum:"unspecified,keyCompromise,affiliationChanged,superseded,cessationOfOperation,privilegeWithdrawn"`
		Comment string `json:"comment,omitempty" maxLength:"2000"`
		Once    string `json:"once,omitempty" maxLength:"200" doc:"an idempotency key, as in createRequest"`
	}
}

func (in revocationInput) draft() enrollment.RevokeDraft {
	d := enrollment.RevokeDraft{SHA256: in.SHA256}
	if in.Body != nil {
		set(&d.Reason, in.Body.Reason)
		d.Comment, d.Once = in.Body.Comment, in.Body.Once
	}
	return d
}

// set gives a word to a field whose type belongs to a floor that a front door does not
// know; the service refuses words that do not exist.
func set[T ~string](field *T, word string) { *field = T(word) }

func (a *door) revokeCertificate(ctx context.Context, c access.Caller, in *revocationInput) (*answer[enrollment.Request], error) {
	return answerOf(a.Requests.RevokeNow(ctx, c, in.draft()))
}

func (a *door) requestRevocation(ctx context.Context, c access.Caller, in *revocationInput) (*answer[enrollment.Request], error) {
	return answerOf(a.Requests.RequestRevocation(ctx, c, in.draft()))
}
