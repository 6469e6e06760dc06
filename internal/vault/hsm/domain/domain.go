package domain

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/hsm"
	"chatelaine.dev/internal/vault/hsm/quorum"
	"chatelaine.dev/internal/vault/object"
)

// Service keeps security domains.
type Service struct{ hsm.Deps }

// New makes the service.
func New(d object.Deps) *Service { return &Service{hsm.Deps{Deps: d}} }

var (
	downloading    = hsm.Operation{Name: "SecurityDomainDownload", Action: object.ManagedPrefix + "securitydomain/download/action"}
	downloadStatus = hsm.Operation{Name: "SecurityDomainDownloadStatus", Action: object.ManagedPrefix + "securitydomain/download/read"}
	transferring   = hsm.Operation{Name: "SecurityDomainTransferKey", Action: object.ManagedPrefix + "securitydomain/transferkey/read"}
	uploading      = hsm.Operation{Name: "SecurityDomainUpload", Action: object.ManagedPrefix + "securitydomain/upload/action"}
	uploadStatus   = hsm.Operation{Name: "SecurityDomainUploadStatus", Action: object.ManagedPrefix + "securitydomain/upload/read"}
)

// tag is what the key of our backups is called in a security domain.
const tag = "chatelaine_backup_key"

// content is what a security domain holds under the tag.
type content struct {
	HSM string    `json:"hsm"` // where it was downloaded
	Key []byte    `json:"key"`
	At  time.Time `json:"at"`
}

// Download returns the security domain as a file that any required of the holders open
// together. The file is worth nothing to fewer of them, and can be downloaded again, for
// others too.
func (s *Service) Download(ctx context.Context, c access.Caller, vault string, holders []JWK, required int) (text []byte, err error) {
	err = s.Call(ctx, c, vault, downloading, func(v *object.Vault) error {
		certs, err := certificates(holders, &required)
		if err != nil {
			return err
		}
		key, err := s.Key(ctx, v)
		if err != nil {
			return err
		}
		plain, err := json.Marshal(content{HSM: v.Name, Key: key.secret, At: s.Now().UTC()})
		if err != nil {
			return err
		}
		if text, err = quorum.New([]quorum.Secret{{Tag: tag, Plain: plain}}, certs, required); err != nil {
			return err
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			_, err := s.edit(ctx, v, func(st *state) error {
				st.Downloaded = s.Now().UTC()
				return nil
			})
			if err != nil {
				return err
			}
			return s.Done(ctx, c, vault, downloading, map[audit.Field]string{audit.Count: strconv.Itoa(required) + " of " + strconv.Itoa(len(certs))})
		})
	})
	if err != nil {
		return nil, err
	}
	return text, nil
}

// Downloaded returns when the security domain was last downloaded; fault.NotFound if it
// never was.
func (s *Service) Downloaded(ctx context.Context, c access.Caller, vault string) (at time.Time, err error) {
	err = s.Call(ctx, c, vault, downloadStatus, func(v *object.Vault) error {
		at, err = s.when(ctx, c, v, downloadStatus, func(st state) time.Time { return st.Downloaded })
		return err
	})
	return at, err
}

// Uploaded returns when the security domain of another HSM was uploaded; fault.NotFound if
// none was.
func (s *Service) Uploaded(ctx context.Context, c access.Caller, vault string) (at time.Time, err error) {
	err = s.Call(ctx, c, vault, uploadStatus, func(v *object.Vault) error {
		at, err = s.when(ctx, c, v, uploadStatus, func(st state) time.Time { return st.Uploaded })
		return err
	})
	return at, err
}

func (s *Service) when(ctx context.Context, c access.Caller, v *object.Vault, op hsm.Operation, of func(state) time.Time) (time.Time, error) {
	st, err := read[state](ctx, v, rowName)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return time.Time{}, err
	}
	at := of(st)
	if at.IsZero() {
		return at, fault.New(fault.NotFound, "SecurityDomainOperationNotFound", "The security domain of this HSM was not yet downloaded or uploaded. Begin with POST /securitydomain/download or GET /securitydomain/upload.")
	}
	return at, s.Done(ctx, c, v.Name, op, nil)
}
