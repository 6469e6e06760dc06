package api

import (
	"context"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/revocation"
)

func (a *door) revocationOperations() {
	const tag = "authorities"
	one := operation{action: revocation.RevokeCertificates, scope: "/authorities/{authority}"}
	register(a, tag, one.as("revokeIssued", http.MethodPost, "/authorities/{authority}/certificates/{serial}/revoke", "Revoke a certificate of an authority"), a.revokeIssued)
	register(a, tag, one.as("releaseIssued", http.MethodPost, "/authorities/{authority}/certificates/{serial}/release", "End the hold of a certificate"), a.releaseIssued)
	register(a, tag, operation{id: "getCRLs", method: http.MethodGet, path: "/authorities/{authority}/crls", summary: "See how the CRLs of an authority stand",
		action: revocation.ReadAuthorities, scope: "/authorities/{authority}"}, a.getCRLs)
	change := operation{action: revocation.WriteAuthorities, scope: "/authorities/{authority}"}
	register(a, tag, change.as("publishCRLs", http.MethodPost, "/authorities/{authority}/crls/publish", "Publish the CRLs of an authority now"), a.publishCRLs)
	register(a, tag, change.as("partitionCRL", http.MethodPut, "/authorities/{authority}/crls/partitions", "Publish the CRL of an authority in parts, too"), a.partitionCRL)

	const bulk = "revocations"
	many := operation{action: revocation.RevokeCertificates, scope: "/authorities"}
	register(a, bulk, many.as("previewRevocations", http.MethodPost, "/revocations/preview", "See what a bulk revocation would hit"), a.previewRevocations)
	register(a, bulk, many.as("beginRevocations", http.MethodPost, "/revocations", "Revoke in bulk").answering(http.StatusAccepted), a.beginRevocations)
	register(a, bulk, many.as("listRevocations", http.MethodGet, "/revocations", "List bulk revocations, newest first"), a.listRevocations)
	register(a, bulk, many.as("getRevocations", http.MethodGet, "/revocations/{revocation}", "See how far a bulk revocation is"), a.getRevocations)
	register(a, bulk, many.as("stopRevocations", http.MethodPost, "/revocations/{revocation}/stop", "Stop a bulk revocation"), a.stopRevocations)
}

// IssuedPath names a certificate of an authority.
type IssuedPath struct {
	AuthorityPath
	Serial string `path:"serial" maxLength:"128" doc:"hex"`
}

func (p IssuedPath) request() revocation.Request {
	return revocation.Request{Authority: p.Authority, Serial: p.Serial}
}

func (a *door) revokeIssued(ctx context.Context, c access.Caller, in *struct {
	IssuedPath
	Body *struct {
		Reason       string    `json:"reason,omitempty" enum:"unspecified,keyCompromise,cACompromise,affiliationChanged,superseded,cessationOfOperation,privilegeWithdrawn,certificateHold" doc:"certificateHold can be released"`
		InvalidSince time.Time `json:"invalidSince,omitzero" doc:"when the key is thought to have been compromised"`
	}
}) (*answer[issuedModel], error) {
	r := in.request()
	if in.Body != nil {
		r.Reason, r.InvalidSince = in.Body.Reason, in.Body.InvalidSince
	}
	x, err := a.Revocation.Revoke(ctx, c, r)
	return answerOf(modelOfIssued(x), err)
}

func (a *door) releaseIssued(ctx context.Context, c access.Caller, in *IssuedPath) (*answer[issuedModel], error) {
	x, err := a.Revocation.Release(ctx, c, in.request())
	return answerOf(modelOfIssued(x), err)
}

// crlModel is a published list.
type crlModel struct {
	Part       string    `json:"part" doc:"empty: the whole list; delta; or the number of a part"`
	Number     int64     `json:"number"`
	Base       int64     `json:"base,omitempty" doc:"of the whole list: the number from which deltas go on"`
	Covers     int64     `json:"covers" doc:"how many of the authority's changes it has"`
	Entries    int       `json:"entries"`
	SHA256     string    `json:"sha256"`
	ThisUpdate time.Time `json:"thisUpdate"`
	NextUpdate time.Time `json:"nextUpdate"`
}

type publicationModel struct {
	Lists      []crlModel `json:"lists"`
	Partitions int        `json:"partitions"`
	Changes    int64      `json:"changes" doc:"revocations and releases so far"`
}

func publicationOf(p revocation.Publication, err error) (*answer[publicationModel], error) {
	m := publicationModel{Lists: []crlModel{}, Partitions: p.Partitions, Changes: p.Changes}
	for _, l := range p.Lists {
		m.Lists = append(m.Lists, crlModel{
			Part: l.Part, Number: l.Number, Base: l.Base.Number, Covers: l.Covers, Entries: l.Entries, SHA256: l.SHA256, ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate,
		})
	}
	return answerOf(m, err)
}

func (a *door) getCRLs(ctx context.Context, c access.Caller, in *AuthorityPath) (*answer[publicationModel], error) {
	return publicationOf(a.Revocation.Publication(ctx, c, in.Authority))
}

func (a *door) publishCRLs(ctx context.Context, c access.Caller, in *AuthorityPath) (*answer[publicationModel], error) {
	return publicationOf(a.Revocation.Publish(ctx, c, in.Authority))
}

func (a *door) partitionCRL(ctx context.Context, c access.Caller, in *struct {
	AuthorityPath
	Body struct {
		Partitions int `json:"partitions" minimum:"1" maximum:"1000" doc:"only grows"`
	}
}) (*answer[publicationModel], error) {
	return publicationOf(a.Revocation.Partition(ctx, c, in.Authority, in.Body.Partitions))
}

// selectionModel says which certificates a bulk revocation hits; each field narrows it.
type selectionModel struct {
	Authority    string    `json:"authority,omitempty" maxLength:"63" doc:"everything that it signed"`
	Profile      string    `json:"profile,omitempty" maxLength:"63"`
	KeySHA256    string    `json:"keySHA256,omitempty" maxLength:"128" doc:"SHA-256 of the SubjectPublicKeyInfo of the certified key, hex"`
	Owner        string    `json:"owner,omitempty" maxLength:"256" doc:"as the inventory has it"`
	Lineage      string    `json:"lineage,omitempty" maxLength:"64"`
	IssuedAfter  time.Time `json:"issuedAfter,omitzero"`
	IssuedBefore time.Time `json:"issuedBefore,omitzero"`
}

func (m selectionModel) selection() revocation.Selection { return revocation.Selection(m) }

type previewModel struct {
	Count       int64         `json:"count"`
	Authorities int64         `json:"authorities" doc:"how many authorities signed them"`
	Examples    []issuedModel `json:"examples" doc:"the newest ones"`
}

func (a *door) previewRevocations(ctx context.Context, c access.Caller, in *struct{ Body selectionModel }) (*answer[previewModel], error) {
	p, err := a.Revocation.Preview(ctx, c, in.Body.selection())
	m := previewModel{Count: p.Count, Authorities: p.Authorities, Examples: []issuedModel{}}
	for _, x := range p.Examples {
		m.Examples = append(m.Examples, modelOfIssued(x))
	}
	return answerOf(m, err)
}

// sweepModel is a bulk revocation.
type sweepModel struct {
	ID           string         `json:"id"`
	Selection    selectionModel `json:"selection"`
	Reason       string         `json:"reason"`
	InvalidSince time.Time      `json:"invalidSince,omitzero"`
	State        string         `json:"state" enum:"running,done,stopped"`
	Total        int64          `json:"total"`
	Revoked      int64          `json:"revoked"`
	Skipped      int64          `json:"skipped" doc:"revoked by somebody else meanwhile"`
	Requester    string         `json:"requester"`
	CreatedAt    time.Time      `json:"createdAt"`
	EndedAt      time.Time      `json:"endedAt,omitzero"`
}

func modelOfSweep(w revocation.Sweep) sweepModel {
	return sweepModel{
		ID: w.ID, Selection: selectionModel(w.Selection), Reason: w.Reason, InvalidSince: w.InvalidSince, State: string(w.State), Total: w.Total,
		Revoked: w.Revoked, Skipped: w.Skipped, Requester: w.Requester, CreatedAt: w.CreatedAt, EndedAt: w.EndedAt,
	}
}

func (a *door) beginRevocations(ctx context.Context, c access.Caller, in *struct {
	Body struct {
		Selection    selectionModel `json:"selection"`
		Expected     int64          `json:"expected" minimum:"1" doc:"the count of the preview; with another nothing begins"`
		Reason       string         `json:"reason,omitempty" enum:"unspecified,keyCompromise,cACompromise,affiliationChanged,superseded,cessationOfOperation,privilegeWithdrawn"`
		InvalidSince time.Time      `json:"invalidSince,omitzero"`
	}
}) (*answer[sweepModel], error) {
	w, err := a.Revocation.Begin(ctx, c, revocation.Order{
		Selection: in.Body.Selection.selection(), Reason: in.Body.Reason, InvalidSince: in.Body.InvalidSince, Expected: in.Body.Expected,
	})
	return answerOf(modelOfSweep(w), err)
}

func (a *door) listRevocations(ctx context.Context, c access.Caller, in *Paging) (*page[sweepModel], error) {
	list, err := a.Revocation.SweepList(ctx, c, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	items := make([]sweepModel, len(list))
	for i, w := range list {
		items[i] = modelOfSweep(w)
	}
	return pageOf(items, in.nextOf(len(items), func(last int) string { return items[last].ID })), nil
}

// RevocationPath names a bulk revocation.
type RevocationPath struct {
	Revocation string `path:"revocation" maxLength:"64"`
}

func (a *door) getRevocations(ctx context.Context, c access.Caller, in *RevocationPath) (*answer[sweepModel], error) {
	w, err := a.Revocation.Sweep(ctx, c, in.Revocation)
	return answerOf(modelOfSweep(w), err)
}

func (a *door) stopRevocations(ctx context.Context, c access.Caller, in *RevocationPath) (*answer[sweepModel], error) {
	w, err := a.Revocation.Stop(ctx, c, in.Revocation)
	return answerOf(modelOfSweep(w), err)
}
