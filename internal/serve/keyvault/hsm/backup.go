package hsm

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"chatelaine.dev/internal/serve/keyvault/wire"
	"chatelaine.dev/internal/vault/hsm/backup"
)

// container is SASTokenParameters.
type container struct {
	Address string       `json:"storageResourceUri"`
	Token   backup.Token `json:"token"`
	Managed bool         `json:"useManagedIdentity"`
}

func (c container) place() backup.Place {
	return backup.Place{Address: c.Address, Token: c.Token, Managed: c.Managed}
}

// jobError is the error of a job that failed.
type jobError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// job is FullBackupOperation and RestoreOperation. What is not known yet is null, as the
// service has it.
type job struct {
	Status  backup.Status `json:"status"`
	Details *string       `json:"statusDetails"`
	Error   *jobError     `json:"error"`
	Start   int64         `json:"startTime"`
	End     *int64        `json:"endTime"`
	ID      string        `json:"jobId"`
	Address *string       `json:"azureStorageBlobContainerUri,omitempty"`
}

func describeJob(j backup.Job) job {
	out := job{Status: j.Status, Details: text(j.Details), Start: j.Started.Unix(), End: seconds(j.Ended), ID: j.ID, Address: text(j.URL)}
	if j.Status == backup.Failed {
		out.Error = &jobError{Code: j.Code, Message: j.Message}
	}
	return out
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func seconds(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	u := t.Unix()
	return &u
}

// pause is how long a client waits before it asks again, in seconds.
const pause = 2

// pending is where to ask, with the version that was asked for: pollers take the address as
// it is, and a request without a version is refused.
func pending(q *wire.Request, what string) string {
	return q.Base + "/" + what + "/pending?api-version=" + url.QueryEscape(q.Query.Get("api-version"))
}

// started answers 202 with where to ask how far the job is.
func started(q *wire.Request, kind string, j backup.Job, err error) (wire.Response, error) {
	if err != nil {
		return wire.Response{}, err
	}
	return wire.Response{
		Status: http.StatusAccepted, Operation: pending(q, kind+"/"+j.ID), RetryAfter: pause, Body: describeJob(j),
	}, nil
}

// fullBackup is POST /backup: 202.
func (d door) fullBackup(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return d.startBackup(ctx, q, backup.Full)
}

// preFullBackup is POST /prebackup: 202.
func (d door) preFullBackup(ctx context.Context, q *wire.Request) (wire.Response, error) {
	return d.startBackup(ctx, q, backup.CheckFull)
}

func (d door) startBackup(ctx context.Context, q *wire.Request, task backup.Task) (wire.Response, error) {
	var in container
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	j, err := d.Backups.Start(ctx, q.Caller, q.Vault, task, in.place())
	return started(q, "backup", j, err)
}

// backupStatus is GET /backup/{jobId}/pending.
func (d door) backupStatus(ctx context.Context, q *wire.Request) (wire.Response, error) {
	j, err := d.Backups.Status(ctx, q.Caller, q.Vault, q.Name, false)
	return wire.Response{Body: describeJob(j), RetryAfter: pause}, err
}
