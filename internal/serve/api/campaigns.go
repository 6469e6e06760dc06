package api

import (
	"context"
	"net/http"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/lifecycle/discovery"
)

func (a *door) campaignOperations() {
	const tag = "campaigns"
	read := operation{action: discovery.Read, scope: "/"}
	run := operation{action: discovery.Start, scope: "/"}
	write := operation{action: discovery.Write, scope: "/"}
	register(a, tag, read.as("listCampaigns", http.MethodGet, "/campaigns", "List campaigns, by name"), a.listCampaigns)
	register(a, tag, read.as("getCampaign", http.MethodGet, "/campaigns/{campaign}", "Get a campaign"), a.getCampaign)
	register(a, tag, write.as("createCampaign", http.MethodPost, "/campaigns", "Say what to discover and how often").answering(http.StatusCreated), a.createCampaign)
	register(a, tag, write.as("updateCampaign", http.MethodPut, "/campaigns/{campaign}", "Change a campaign"), a.updateCampaign)
	register(a, tag, operation{id: "deleteCampaign", method: http.MethodDelete, path: "/campaigns/{campaign}", summary: "Delete a campaign and its runs; what it found stays",
		action: discovery.Delete, scope: "/", status: http.StatusNoContent}, a.deleteCampaign)
	register(a, tag, run.as("startRun", http.MethodPost, "/campaigns/{campaign}/runs", "Start a run").answering(http.StatusAccepted), a.startRun)
	register(a, tag, read.as("listRuns", http.MethodGet, "/runs", "List runs, newest first"), a.listRuns)
	register(a, tag, read.as("getRun", http.MethodGet, "/runs/{run}", "Get a run with its progress"), a.getRun)
	register(a, tag, run.as("cancelRun", http.MethodPost, "/runs/{run}/cancel", "Stop a run; what it recorded stays"), a.cancelRun)
}

func (a *door) listCampaigns(ctx context.Context, c access.Caller, in *Paging) (*page[discovery.Campaign], error) {
	list, err := a.Discovery.List(ctx, c, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	return pageOf(list, in.nextOf(len(list), func(last int) string { return list[last].Name })), nil
}

// CampaignPath names a campaign.
type CampaignPath struct {
	Campaign string `path:"campaign" maxLength:"100" doc:"id"`
}

func (a *door) getCampaign(ctx context.Context, c access.Caller, in *CampaignPath) (*answer[discovery.Campaign], error) {
	return answerOf(a.Discovery.Get(ctx, c, in.Campaign))
}

// CampaignDraft is a campaign to be made or changed.
type CampaignDraft struct {
	Name       string   `json:"name" maxLength:"64"`
	Targets    []string `json:"targets,omitempty" maxItems:"10000" doc:"names, addresses, networks or ranges, each with its own ports if it wants: web.example:443,8443"`
	Ports      string   `json:"ports,omitempty" maxLength:"8192" doc:"443,9000-9010; default: where TLS is spoken from the first byte"`
	Exclude    []string `json:"exclude,omitempty" maxItems:"10000"`
	Versions   bool     `json:"versions,omitempty" doc:"find out every TLS version that is accepted"`
	Connection string   `json:"connection,omitempty" maxLength:"100" doc:"instead of targets: id of a connection whose connector is a source"`
	Interval   int64    `json:"interval,omitempty" doc:"seconds from run to run, 300 to a year; 0 for runs by hand only"`
	Enabled    bool     `json:"enabled,omitempty" doc:"whether it runs by itself"`
}

func (a *door) createCampaign(ctx context.Context, c access.Caller, in *struct{ Body CampaignDraft }) (*answer[discovery.Campaign], error) {
	return answerOf(a.Discovery.Create(ctx, c, discovery.Draft(in.Body)))
}

func (a *door) updateCampaign(ctx context.Context, c access.Caller, in *struct {
	CampaignPath
	Body struct {
		CampaignDraft
		Revision int64 `json:"revision" minimum:"1" doc:"that you have read; if somebody was faster, the answer is 409"`
	}
}) (*answer[discovery.Campaign], error) {
	return answerOf(a.Discovery.Update(ctx, c, in.Campaign, in.Body.Revision, discovery.Draft(in.Body.CampaignDraft)))
}

func (a *door) deleteCampaign(ctx context.Context, c access.Caller, in *CampaignPath) (*nothing, error) {
	return nil, a.Discovery.Delete(ctx, c, in.Campaign)
}

func (a *door) startRun(ctx context.Context, c access.Caller, in *CampaignPath) (*answer[discovery.Run], error) {
	return answerOf(a.Discovery.StartRun(ctx, c, in.Campaign))
}

func (a *door) listRuns(ctx context.Context, c access.Caller, in *struct {
	Paging
	Campaign string `query:"campaign" maxLength:"100" doc:"id"`
}) (*page[discovery.Run], error) {
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	list, err := a.Discovery.ListRuns(ctx, c, discovery.RunQuery{Campaign: in.Campaign, Before: before, Limit: in.Limit})
	if err != nil {
		return nil, err
	}
	return pageOf(list, in.nextOf(len(list), func(last int) string { return list[last].Queued.Format(time.RFC3339Nano) })), nil
}

// before reads After of a list whose order is time, newest first; zero for its beginning.
func (p Paging) before() (time.Time, error) {
	if p.After == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, p.After)
	if err != nil {
		return t, fault.New(fault.Invalid, "InvalidCursor", "%.64q is no next of this list; begin again without it", p.After)
	}
	return t, nil
}

// RunPath names a run.
type RunPath struct {
	Run string `path:"run" maxLength:"100" doc:"id"`
}

func (a *door) getRun(ctx context.Context, c access.Caller, in *RunPath) (*answer[discovery.Run], error) {
	return answerOf(a.Discovery.GetRun(ctx, c, in.Run))
}

func (a *door) cancelRun(ctx context.Context, c access.Caller, in *RunPath) (*answer[discovery.Run], error) {
	return answerOf(a.Discovery.CancelRun(ctx, c, in.Run))
}
