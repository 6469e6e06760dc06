package backup

import (
	"context"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/hsm"
	"chatelaine.dev/internal/vault/object"
)

// results name the operation whose outcome ends a task.
var results = map[Task]string{
	Full: "HSMBackup", CheckFull: "HSMBackupCheckResult", Whole: "HSMRestore", CheckWhole: "HSMRestoreCheckResult", SelectedKey: "HSMKeyRestore",
}

// maxTries is how often a job asks a storage that does not answer.
const maxTries = 3

// HandleRun does the work of a job. It may run again for the same job at any time: a backup
// is written once more, a restore does again what was done. What a client can mend ends
// the job; a storage that is away, and a broken machine, are tried again.
func (s *Service) HandleRun(ctx context.Context, r Run) error {
	v, err := s.Vaults.Open(ctx, r.Vault)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	j, err := s.job(ctx, v, r.Job)
	if fault.Is(err, fault.NotFound) || err == nil && j.Status != InProgress {
		return nil
	}
	if err != nil {
		return err
	}
	container, err := s.containers(j.Address, j.Token)
	if err != nil {
		return s.finish(ctx, v, j, outcome{}, err)
	}
	o, err := s.perform(ctx, v, container, j)
	if err != nil && (ctx.Err() != nil || fault.Is(err, fault.Internal)) {
		return err
	}
	if fault.Is(err, fault.Unavailable) && j.Tries < maxTries-1 {
		j.Tries++
		if perr := s.Transact(ctx, func(ctx context.Context) error { return s.put(ctx, v, j) }); perr != nil {
			return perr
		}
		return err // the queue tries again, a little later
	}
	return s.finish(ctx, v, j, o, err)
}

// outcome is what a task has come to. last, if not nil, commits with the end of the job.
type outcome struct {
	details string
	last    func(ctx context.Context) error
}

func (s *Service) perform(ctx context.Context, v *object.Vault, c Container, j Job) (outcome, error) {
	key, err := s.domains.Key(ctx, v)
	if err != nil {
		return outcome{}, err
	}
	switch j.Task {
	case Full:
		return s.save(ctx, v, key, folder{c, j.Folder})
	case CheckFull:
		return probe(ctx, folder{c, j.Folder})
	}
	a, err := openArchive(ctx, key, folder{c, j.Folder})
	if err != nil {
		return outcome{}, err
	}
	switch j.Task {
	case CheckWhole:
		return s.check(ctx, v, a)
	case SelectedKey:
		return s.restoreKey(ctx, v, a, j.Key)
	default:
		return s.restore(ctx, v, a)
	}
}

// probe shows that blobs can be written, read and removed.
func probe(ctx context.Context, f folder) (outcome, error) {
	const name = "check"
	if err := f.put(ctx, name, []byte(name)); err != nil {
		return outcome{}, err
	}
	if _, err := f.get(ctx, name, 64); err != nil {
		return outcome{}, err
	}
	return outcome{details: "A backup can be made there."}, f.Delete(ctx, f.name+"/"+name)
}

// finish ends a job. Its token is erased.
func (s *Service) finish(ctx context.Context, v *object.Vault, j Job, o outcome, cause error) error {
	c := access.System("hsm backup")
	c.Correlation = j.ID
	return s.Transact(ctx, func(ctx context.Context) error {
		now, err := s.job(ctx, v, j.ID)
		if err != nil || now.Status != InProgress {
			return err
		}
		now.Status, now.Details, now.Ended, now.Token = Succeeded, o.details, s.Now().UTC(), ""
		rec := c.Record(results[j.Task], hsm.Target(v.Name, access.Root))
		rec.Details[audit.Request] = j.ID
		if cause != nil {
			f := fault.Of(cause)
			now.Status, now.Details, now.Code, now.Message = Failed, "", f.Code, f.Message
			rec.Outcome, rec.Details[audit.Reason] = audit.Failed, f.Code
		} else if o.last != nil {
			if err := o.last(ctx); err != nil {
				return err
			}
		}
		if err := s.put(ctx, v, now); err != nil {
			return err
		}
		return s.Audit.Record(ctx, rec)
	})
}
