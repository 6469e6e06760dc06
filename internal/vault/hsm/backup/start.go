package backup

import (
	"context"
	"regexp"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/hsm"
	"chatelaine.dev/internal/vault/object"
)

// Place is what a client says of where a backup goes, or lies.
type Place struct {
	Address string // of the container
	Token   Token
	Managed bool   // the client wants the HSM's managed identity to be used instead of a token
	Folder  string // of a restore
	Key     string // of the restore of one key
}

var (
	starting         = hsm.Operation{Name: "HSMBackupStart", Action: object.ManagedPrefix + "backup/start/action"}
	checking         = hsm.Operation{Name: "HSMBackupCheck", Action: object.ManagedPrefix + "backup/start/action"}
	restoring        = hsm.Operation{Name: "HSMRestoreStart", Action: object.ManagedPrefix + "restore/start/action"}
	checkingRestore  = hsm.Operation{Name: "HSMRestoreCheck", Action: object.ManagedPrefix + "restore/start/action"}
	selecting        = hsm.Operation{Name: "HSMKeyRestoreStart", Action: object.ManagedPrefix + "restore/start/action"}
	askingForBackup  = hsm.Operation{Name: "HSMBackupStatus", Action: object.ManagedPrefix + "backup/status/action"}
	askingForRestore = hsm.Operation{Name: "HSMRestoreStatus", Action: object.ManagedPrefix + "restore/status/action"}
)

// operations name the operation that starts a task.
var operations = map[Task]hsm.Operation{Full: starting, CheckFull: checking, Whole: restoring, CheckWhole: checkingRestore, SelectedKey: selecting}

// folderName is a folder as Start makes them, or as somebody renamed them.
var folderName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,127}$`)

// Start begins a task and returns its job. One job runs at a time: a second is
// fault.Conflict.
func (s *Service) Start(ctx context.Context, c access.Caller, vault string, task Task, p Place) (j Job, err error) {
	op := operations[task]
	err = s.Call(ctx, c, vault, op, func(v *object.Vault) error {
		container, err := s.open(p)
		if err != nil {
			return err
		}
		j = Job{
			ID: object.NewVersionID(), Task: task, Status: InProgress, Started: s.Now().UTC(),
			Address: p.Address, Token: p.Token, Folder: p.Folder, Key: p.Key,
		}
		if task.restores() {
			if !folderName.MatchString(p.Folder) {
				return fault.New(fault.Invalid, "BadParameter", "The folder %.64q is not one of a backup; want the last part of azureStorageBlobContainerUri, such as mhsm-name-20260101000000000-0a1b2c3d.", p.Folder)
			}
			if task == SelectedKey {
				if err := object.CheckName(p.Key); err != nil {
					return err
				}
			}
		} else {
			j.Folder = "mhsm-" + v.Name + "-" + j.Started.Format("20060102150405.000")[:14] + j.Started.Format(".000")[1:] + "-" + j.ID[:8]
			if task == Full {
				j.URL = container.URL(j.Folder)
			}
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			if err := s.begin(ctx, v, j); err != nil {
				return err
			}
			return s.Done(ctx, c, vault, op, map[audit.Field]string{audit.Request: j.ID, audit.Target: container.URL(j.Folder)})
		})
	})
	return j, err
}

func (s *Service) open(p Place) (Container, error) {
	if p.Managed {
		return nil, fault.New(fault.Invalid, "BadParameter", "useManagedIdentity cannot be used: this HSM has no identity that Azure Storage knows. Send a SAS token for the container as token.")
	}
	if p.Token == "" {
		return nil, fault.New(fault.Invalid, "BadParameter", "The parameter token is missing; send a SAS token for the container.")
	}
	return s.containers(p.Address, p.Token)
}

// Status returns a backup or a restore.
func (s *Service) Status(ctx context.Context, c access.Caller, vault, id string, restore bool) (j Job, err error) {
	op := askingForBackup
	if restore {
		op = askingForRestore
	}
	err = s.Call(ctx, c, vault, op, func(v *object.Vault) error {
		if j, err = s.job(ctx, v, id); err != nil {
			return err
		}
		if j.Task.restores() != restore {
			return jobNotFound(id)
		}
		return s.Done(ctx, c, vault, op, map[audit.Field]string{audit.Request: j.ID})
	})
	return j, err
}
