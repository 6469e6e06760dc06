package api

import (
	"context"
	"net/http"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/lifecycle/deployment"
	"chatelaine.dev/internal/lifecycle/lineage"
	"chatelaine.dev/internal/lifecycle/renewal"
	"chatelaine.dev/internal/pki/profile"
)

func (a *door) lineageOperations() {
	const tag = "lineages"
	one := operation{action: lineage.Read, scope: "/lineages/{lineage}"}
	register(a, tag, operation{id: "listLineages", method: http.MethodGet, path: "/lineages", summary: "List lineages, by name",
		action: lineage.Read, scope: "/"}, a.listLineages)
	register(a, tag, operation{id: "createLineage", method: http.MethodPost, path: "/lineages", summary: "Make a lineage that has no certificate yet",
		about:  "Ask for its first certificate with createRequest.",
		action: lineage.Write, scope: "/", status: http.StatusCreated}, a.createLineage)
	register(a, tag, operation{id: "adoptCertificate", method: http.MethodPost, path: "/certificates/{sha256}/adopt",
		summary: "Take a certificate of the inventory under management",
		about: "What is left empty is taken from the certificate: name, names, key. Where a single target names no endpoints, those at which the certificate is seen now are taken. " +
			"Besides the action of this operation it needs Chatelaine/certificates/write, the right to run each target's connection, and to import into the vault.",
		action: lineage.Write, scope: "/", status: http.StatusCreated}, a.adoptCertificate)
	register(a, tag, one.as("getLineage", http.MethodGet, "/lineages/{lineage}", "Get a lineage"), a.getLineage)
	register(a, tag, one.as("getLineageOutlook", http.MethodGet, "/lineages/{lineage}/next", "Say what happens next to a lineage"), a.getLineageOutlook)
	register(a, tag, one.as("listLineageCertificates", http.MethodGet, "/lineages/{lineage}/certificates", "List the certificates of a lineage, newest first"), a.listLineageCertificates)
	register(a, tag, operation{id: "updateLineage", method: http.MethodPut, path: "/lineages/{lineage}", summary: "Change what a lineage wants and where it is installed",
		about:  "Send the revision that you have read; if somebody was faster, the answer is 409.",
		action: lineage.Write, scope: "/lineages/{lineage}"}, a.updateLineage)
	register(a, tag, operation{id: "deleteLineage", method: http.MethodDelete, path: "/lineages/{lineage}", summary: "End the management of a line of certificates",
		about:  "The certificates stay where they are.",
		action: lineage.Delete, scope: "/lineages/{lineage}", status: http.StatusNoContent}, a.deleteLineage)
	register(a, tag, operation{id: "deployLineage", method: http.MethodPost, path: "/lineages/{lineage}/targets/{target}/deploy",
		summary: "Install the current certificate of a lineage at a target once more",
		action:  deployment.Deploy, scope: "/lineages/{lineage}", status: http.StatusAccepted}, a.deployLineage)
}

// targetModel is a target as it is asked for.
type targetModel struct {
	ID         string             `json:"id,omitempty" maxLength:"40" doc:"within the lineage; default: made"`
	Connection string             `json:"connection" maxLength:"100" doc:"id"`
	Place      map[string]any     `json:"place,omitempty" doc:"where on the target, by the schema of its connector's place"`
	Endpoints  []lineage.Endpoint `json:"endpoints,omitempty" maxItems:"50" doc:"TLS services that must serve the certificate once it is installed"`
}

// WantedModel is what people decide about a lineage.
type WantedModel struct {
	Name       string           `json:"name,omitempty" maxLength:"800" doc:"for people; unique"`
	Owner      string           `json:"owner,omitempty" maxLength:"800" doc:"team or person who answers for it"`
	Profile    string           `json:"profile" maxLength:"63"`
	Authority  string           `json:"authority,omitempty" maxLength:"63" doc:"default: the profile's first"`
	CommonName string           `json:"commonName,omitempty" maxLength:"256"`
	Names      *profile.Names   `json:"names,omitempty"`
	Key        string           `json:"key,omitempty" maxLength:"20" doc:"P-256, RSA 3072…" example:"P-256"`
	Validity   profile.Duration `json:"validity,omitempty" doc:"such as 90d; default: the profile's"`
	Keep       lineage.Keep     `json:"keep" doc:"the certificate of a vault in which each certificate becomes a version"`
	Rule       *lineage.Rule    `json:"rule,omitempty" doc:"when it is renewed; default: when two thirds of its life are over"`
	Paused     bool             `json:"paused,omitempty" doc:"it does not renew itself"`
	Targets    []targetModel    `json:"targets,omitempty" maxItems:"50"`
}

func (m WantedModel) wanted() lineage.Wanted {
	w := lineage.Wanted{
		Name: m.Name, Owner: m.Owner, Profile: m.Profile, Authority: m.Authority, CommonName: m.CommonName,
		Key: m.Key, Validity: m.Validity, Keep: m.Keep, Paused: m.Paused,
	}
	if m.Names != nil {
		w.Names = *m.Names
	}
	if m.Rule != nil {
		w.Rule = *m.Rule
	}
	return w
}

func (m WantedModel) targets() []lineage.Target {
	targets := make([]lineage.Target, len(m.Targets))
	for i, t := range m.Targets {
		targets[i] = lineage.Target(t)
	}
	return targets
}

func (a *door) listLineages(ctx context.Context, c access.Caller, in *struct {
	Paging
	Owner string `query:"owner" maxLength:"800"`
}) (*page[lineage.Lineage], error) {
	list, err := a.Lineages.List(ctx, c, lineage.Query{Owner: in.Owner, After: in.After, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(list, in.nextOf(len(list), func(last int) string { return list[last].Name })), nil
}

func (a *door) createLineage(ctx context.Context, c access.Caller, in *struct{ Body WantedModel }) (*answer[lineage.Lineage], error) {
	return answerOf(a.Lineages.Create(ctx, c, in.Body.wanted(), in.Body.targets()))
}

func (a *door) adoptCertificate(ctx context.Context, c access.Caller, in *struct {
	CertificatePath
	Body WantedModel
}) (*answer[lineage.Lineage], error) {
	return answerOf(a.Lineages.Adopt(ctx, c, lineage.Adoption{SHA256: in.SHA256, Wanted: in.Body.wanted(), Targets: in.Body.targets()}))
}

// LineagePath names a lineage.
type LineagePath struct {
	Lineage string `path:"lineage" maxLength:"100" doc:"id"`
}

func (a *door) getLineage(ctx context.Context, c access.Caller, in *LineagePath) (*answer[lineage.Lineage], error) {
	return answerOf(a.Lineages.Get(ctx, c, in.Lineage))
}

func (a *door) getLineageOutlook(ctx context.Context, c access.Caller, in *LineagePath) (*answer[renewal.Next], error) {
	return answerOf(a.Renewal.Next(ctx, c, in.Lineage))
}

func (a *door) listLineageCertificates(ctx context.Context, c access.Caller, in *struct {
	LineagePath
	Paging
}) (*page[lineage.Member], error) {
	list, err := a.Lineages.Members(ctx, c, in.Lineage)
	if err != nil {
		return nil, err
	}
	return cut(in.Paging, list, func(m lineage.Member) string { return m.SHA256 }), nil
}

func (a *door) updateLineage(ctx context.Context, c access.Caller, in *struct {
	LineagePath
	Body struct {
		WantedModel
		Revision int64 `json:"revision" minimum:"1"`
	}
}) (*answer[lineage.Lineage], error) {
	return answerOf(a.Lineages.Update(ctx, c, lineage.Lineage{
		ID: in.Lineage, Wanted: in.Body.wanted(), Targets: in.Body.targets(), Revision: in.Body.Revision,
	}))
}

func (a *door) deleteLineage(ctx context.Context, c access.Caller, in *LineagePath) (*nothing, error) {
	return nil, a.Lineages.Remove(ctx, c, in.Lineage)
}

func (a *door) deployLineage(ctx context.Context, c access.Caller, in *struct {
	LineagePath
	Target string `path:"target" maxLength:"40"`
}) (*answer[deployment.Deployment], error) {
	return answerOf(a.Deployments.Deploy(ctx, c, in.Lineage, in.Target))
}
