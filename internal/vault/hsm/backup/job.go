package backup

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// Task is what a job does.
type Task string

// The tasks.
const (
	Full        Task = "backup"
	CheckFull   Task = "prebackup"  // whether a backup could be made
	Whole       Task = "restore"    // the whole HSM
	CheckWhole  Task = "prerestore" // whether a backup could be restored
	SelectedKey Task = "keyrestore"
)

// restores reports whether the task is asked about as a restore.
func (t Task) restores() bool { return t != Full && t != CheckFull }

// Status is how far a job is, in the contract's words.
type Status string

// The statuses.
const (
	InProgress Status = "InProgress"
	Succeeded  Status = "Succeeded"
	Failed     Status = "Failed"
)

// Job is one backup or restore. It is durable: a row of the HSM, sealed, that outlives
// restarts.
type Job struct {
	ID      string    `json:"-"` // 32 hex digits
	Task    Task      `json:"task"`
	Status  Status    `json:"status"`
	Details string    `json:"details,omitempty"`
	Code    string    `json:"code,omitempty"` // of the error
	Message string    `json:"message,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Address string    `json:"address"` // of the container
	Folder  string    `json:"folder"`
	Key     string    `json:"key,omitempty"`   // the one to restore
	Tries   int       `json:"tries,omitempty"` // that found the storage away
	// Token is erased when the job ends.
	Token Token `json:"token,omitempty"`
	// URL is where a backup lies.
	URL string `json:"url,omitempty"`
}

const (
	currentRow = "current" // names the job that runs
	keepJobs   = 7 * 24 * time.Hour
	pruneBatch = 20
)

var jobID = regexp.MustCompile(`^[0-9a-f]{32}$`)

func jobNotFound(id string) error {
	return fault.New(fault.NotFound, "JobNotFound", "There is no such job %.40q in this HSM. Jobs are forgotten after seven days.", id)
}

// job returns a job; fault.NotFound.
func (s *Service) job(ctx context.Context, v *object.Vault, id string) (Job, error) {
	if !jobID.MatchString(id) {
		return Job{}, jobNotFound(id)
	}
	e, err := v.Read(ctx, object.Jobs, id, "")
	if fault.Is(err, fault.NotFound) {
		return Job{}, jobNotFound(id)
	}
	if err != nil {
		return Job{}, err
	}
	return s.decode(e.Head)
}

// decode reads a job. One that is not heard of for longer than it may take has failed: its
// process died and nobody took it up.
func (s *Service) decode(h object.Head) (Job, error) {
	j := Job{ID: h.Name}
	if err := json.Unmarshal(h.Extra, &j); err != nil {
		return j, fmt.Errorf("job %s: %w", h.Name, err)
	}
	if j.Status == InProgress && s.Now().Sub(j.Started) > 2*limit {
		j.Status, j.Code, j.Message, j.Ended = Failed, "Interrupted", "The job was interrupted; start it again.", j.Started.Add(2*limit)
	}
	return j, nil
}

func (s *Service) put(ctx context.Context, v *object.Vault, j Job) error {
	extra, err := json.Marshal(j)
	if err != nil {
		return err
	}
	_, err = v.SetHead(ctx, object.Jobs, j.ID, func(h *object.Head) error {
		h.Extra = extra
		return nil
	})
	return err
}

// begin makes j the job that runs, unless another does. It must run inside a transaction.
func (s *Service) begin(ctx context.Context, v *object.Vault, j Job) error {
	_, err := v.SetHead(ctx, object.Jobs, currentRow, func(h *object.Head) error {
		var running string
		if len(h.Extra) > 0 {
			if err := json.Unmarshal(h.Extra, &running); err != nil {
				return err
			}
			switch other, err := s.job(ctx, v, running); {
			case fault.Is(err, fault.NotFound):
			case err != nil:
				return err
			case other.Status == InProgress:
				return fault.New(fault.Conflict, "OperationInProgress", "A %s of this HSM is in progress, as job %s. Wait for its end.", other.Task, other.ID)
			}
		}
		var err error
		h.Extra, err = json.Marshal(j.ID)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.prune(ctx, v); err != nil {
		return err
	}
	if err := s.put(ctx, v, j); err != nil {
		return err
	}
	return s.enqueue(ctx, Run{Vault: v.Name, Job: j.ID})
}

// prune forgets jobs that ended long ago.
func (s *Service) prune(ctx context.Context, v *object.Vault) error {
	list, err := v.List(ctx, object.Jobs, false, "", pruneBatch)
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Head.Name == currentRow {
			continue
		}
		j, err := s.decode(e.Head)
		if err != nil {
			return err
		}
		if j.Status == InProgress || s.Now().Sub(j.Ended) < keepJobs {
			continue
		}
		if err := v.Erase(ctx, object.Jobs, e.Head.Name); err != nil {
			return err
		}
	}
	return nil
}
