package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/serve/web"
	"chatelaine.dev/internal/vault/export"
	"chatelaine.dev/internal/vault/settings"
)

func (a *door) exportOperations() {
	const tag, scope, path = "exports", "/vaults/{vault}", "/vaults/{vault}/exports"
	at := func(action access.Action) operation { return operation{action: action, scope: scope} }

	register(a, tag, at(export.Read).as("getExportPolicy", http.MethodGet, "/vaults/{vault}/export-policy", "Tell what an export of a vault may take along"), a.getExportPolicy)
	register(a, tag, at(export.SetPolicy).as("setExportPolicy", http.MethodPut, "/vaults/{vault}/export-policy", "Say what an export of a vault may take along"), a.setExportPolicy)

	register(a, tag, at(export.Take).as("requestExport", http.MethodPost, path, "Ask for an export of a vault").answering(http.StatusCreated), a.requestExport)
	register(a, tag, at(export.Read).as("listExports", http.MethodGet, path, "List the requests to export a vault, newest first"), a.listExports)
	get := at(export.Read).as("getExport", http.MethodGet, path+"/{export}", "Get a request to export a vault")
	get.about = "Whoever has made a request may get it without the action."
	register(a, tag, get, a.getExport)
	approve := at(export.Approve).as("approveExport", http.MethodPost, path+"/{export}/approve", "Agree to an export, exactly as it was asked for")
	approve.about = "Never to one's own, and not if one of the two has made the other's account or gave it a credential."
	register(a, tag, approve, a.approveExport)
	register(a, tag, at(export.Approve).as("denyExport", http.MethodPost, path+"/{export}/deny", "Decline an export"), a.denyExport)
	register(a, tag, at(export.Take).as("cancelExport", http.MethodPost, path+"/{export}/cancel", "Give up a request of one's own"), a.cancelExport)

	fetch := at(export.Take).as("downloadExport", http.MethodGet, path+"/{export}/file", "Fetch an export that was approved")
	fetch.about = "Only its requester can, once, within 24 hours of the approval. The file is a tar, encrypted to the recipients by age (docs/operate/export.md). " +
		"An answer that is cut off is no whole file, and age says so; it can be fetched again."
	fetch.gives = "application/octet-stream"
	register(a, tag, fetch, a.downloadExport)
	bring := at(export.Put).as("importVault", http.MethodPost, "/vaults/{vault}/import", "Put the content of an export into a vault, all of it or nothing")
	bring.about = "The body is the tar, decrypted. No name of it may exist in the vault. At most 1 GiB."
	bring.takes = "application/x-tar"
	register(a, tag, bring, a.importVault)
}

// exportPolicy is what an export may take along.
type exportPolicy struct {
	Allow string `json:"allow" enum:"nothing,withoutKeys,all"`
}

const nothingLeaves = "nothing" // the word for settings.ExportNothing

func (a *door) getExportPolicy(ctx context.Context, c access.Caller, in *VaultPath) (*answer[exportPolicy], error) {
	e, err := a.Exports.Policy(ctx, c, in.Vault)
	if e == settings.ExportNothing {
		e = nothingLeaves
	}
	return answerOf(exportPolicy{string(e)}, err)
}

func (a *door) setExportPolicy(ctx context.Context, c access.Caller, in *struct {
	VaultPath
	Body exportPolicy
}) (*answer[exportPolicy], error) {
	e := settings.Export(in.Body.Allow)
	if in.Body.Allow == nothingLeaves {
		e = settings.ExportNothing
	}
	return answerOf(in.Body, a.Exports.SetPolicy(ctx, c, in.Vault, e))
}

func (a *door) requestExport(ctx context.Context, c access.Caller, in *struct {
	VaultPath
	Body struct {
		Recipients []string `json:"recipients" minItems:"1" maxItems:"20" doc:"age public keys: age1…, or age1pq1…, which is safe from quantum computers"`
		Keys       bool     `json:"keys,omitempty" doc:"private keys too"`
		Comment    string   `json:"comment,omitempty" maxLength:"2000" doc:"why it is wanted"`
	}
}) (*answer[export.Request], error) {
	return answerOf(a.Exports.Ask(ctx, c, export.Draft{Vault: in.Vault, Keys: in.Body.Keys, Recipients: in.Body.Recipients, Comment: in.Body.Comment}))
}

func (a *door) listExports(ctx context.Context, c access.Caller, in *struct {
	VaultPath
	Paging
}) (*page[export.Request], error) {
	list, err := a.Exports.List(ctx, c, in.Vault, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return pageOf(list, in.nextOf(len(list), func(last int) string { return list[last].ID })), nil
}

// ExportPath names a request to export a vault.
type ExportPath struct {
	VaultPath
	Export string `path:"export" maxLength:"100" doc:"id"`
}

func (a *door) getExport(ctx context.Context, c access.Caller, in *ExportPath) (*answer[export.Request], error) {
	return answerOf(a.Exports.Get(ctx, c, in.Vault, in.Export))
}

func (a *door) approveExport(ctx context.Context, c access.Caller, in *struct {
	ExportPath
	Body struct {
		Digest  string `json:"digest" minLength:"64" maxLength:"64" doc:"that of the request: what is approved"`
		Comment string `json:"comment,omitempty" maxLength:"2000"`
	}
}) (*answer[export.Request], error) {
	return answerOf(a.Exports.Approve(ctx, c, export.Verdict{Vault: in.Vault, Request: in.Export, Digest: in.Body.Digest, Comment: in.Body.Comment}))
}

func (a *door) denyExport(ctx context.Context, c access.Caller, in *struct {
	ExportPath
	Body *struct {
		Comment string `json:"comment,omitempty" maxLength:"2000"`
	}
}) (*answer[export.Request], error) {
	v := export.Verdict{Vault: in.Vault, Request: in.Export}
	if in.Body != nil {
		v.Comment = in.Body.Comment
	}
	return answerOf(a.Exports.Deny(ctx, c, v))
}

func (a *door) cancelExport(ctx context.Context, c access.Caller, in *ExportPath) (*answer[export.Request], error) {
	return answerOf(a.Exports.Cancel(ctx, c, in.Vault, in.Export))
}

func (a *door) downloadExport(ctx context.Context, c access.Caller, in *ExportPath) (*huma.StreamResponse, error) {
	f, err := a.Exports.Download(ctx, c, in.Vault, in.Export)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		out := &steadyWriter{w: w, name: f.Name}
		if err := f.Write(r.Context(), out); err != nil {
			if !out.begun {
				web.Problem(w, r, err)
				return
			}
			web.EventOf(r.Context()).Fail(err)
			panic(http.ErrAbortHandler) // so that nobody takes half a file for a whole one
		}
	}}, nil
}

// pace is how long one piece of a long transfer may take. The server's own limits are for
// a whole request, and too short for a large vault on a slow line.
const pace = time.Minute

// steadyWriter writes a file of any length, as long as it goes on.
type steadyWriter struct {
	w     http.ResponseWriter
	name  string
	begun bool
}

func (s *steadyWriter) Write(b []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "application/octet-stream")
		s.w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", s.name))
	}
	if err := http.NewResponseController(s.w).SetWriteDeadline(time.Now().Add(pace)); err != nil {
		return 0, err
	}
	return s.w.Write(b)
}

// Upload is a body that its operation reads by itself, piece by piece.
type Upload struct {
	body io.Reader
}

// Resolve implements huma.Resolver.
func (u *Upload) Resolve(hc huma.Context) []error {
	r, w := humago.Unwrap(hc)
	u.body = &steadyReader{r.Body, http.NewResponseController(w)}
	return nil
}

// steadyReader reads a body of any length, as long as it goes on.
type steadyReader struct {
	r io.Reader
	c *http.ResponseController
}

func (s *steadyReader) Read(b []byte) (int, error) {
	if err := s.c.SetReadDeadline(time.Now().Add(pace)); err != nil {
		return 0, err
	}
	return s.r.Read(b)
}

func (a *door) importVault(ctx context.Context, c access.Caller, in *struct {
	VaultPath
	Upload
}) (*answer[export.Report], error) {
	return answerOf(a.Exports.Import(ctx, c, in.Vault, in.body))
}
