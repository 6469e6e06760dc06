package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/export/archive"
	"chatelaine.dev/internal/vault/object"
)

// Report is what an import has brought.
type Report struct {
	From       string               `json:"from" doc:"name of the vault that the export is of"`
	Objects    map[object.Kind]int  `json:"objects" doc:"how many of each kind"`
	Versions   map[object.Kind]int  `json:"versions" doc:"how many of each kind"`
	LeftBehind []archive.LeftBehind `json:"leftBehind" doc:"what is not there, and why; the first 100"`
	MoreBehind int                  `json:"moreLeftBehind,omitempty" doc:"how many more there are"`
}

// maxReported bounds the list of a Report.
const maxReported = 100

func (r *Report) leave(l archive.LeftBehind) {
	if len(r.LeftBehind) == maxReported {
		r.MoreBehind++
		return
	}
	r.LeftBehind = append(r.LeftBehind, l)
}

// Import puts the content of an archive, which is an export after its decryption, into a
// vault: all of it or nothing. Ids of versions and dates stay. No name of it may exist in
// the vault. The settings of the vault it comes from are not applied.
func (s *Service) Import(ctx context.Context, c access.Caller, vault string, r io.Reader) (report Report, err error) {
	return s.ImportWithin(ctx, c, vault, r, archive.DefaultLimits())
}

// ImportWithin is Import with other limits.
func (s *Service) ImportWithin(ctx context.Context, c access.Caller, vault string, r io.Reader, l archive.Limits) (report Report, err error) {
	err = s.shelf.Call(ctx, c, bring, object.Ref{Vault: vault}, func(v *object.Vault) error {
		select {
		case s.importing <- struct{}{}:
			defer func() { <-s.importing }()
		default:
			return fault.New(fault.Unavailable, "Busy", "another import is running; try again when it is done")
		}
		report, err = s.imported(ctx, c, v, archive.NewReader(r, l))
		return err
	})
	if err != nil {
		return Report{}, err
	}
	return report, nil
}

func (s *Service) imported(ctx context.Context, c access.Caller, v *object.Vault, r *archive.Reader) (report Report, err error) {
	checked, err := newSpool(s.Dir)
	if err != nil {
		return report, fmt.Errorf("import into vault %s: %w", v.Name, err)
	}
	defer func() { err = errors.Join(err, checked.close()) }()
	u := unpacker{keys: s.Keys, spool: checked, now: s.Now(), report: Report{
		Objects: map[object.Kind]int{}, Versions: map[object.Kind]int{}, LeftBehind: []archive.LeftBehind{},
	}}
	if err := u.read(ctx, r); err != nil {
		return report, err
	}
	err = s.Transact(ctx, func(ctx context.Context) error {
		next, err := checked.replay()
		if err != nil {
			return err
		}
		if err := v.Bring(ctx, next); err != nil {
			return err
		}
		objects := 0
		for _, n := range u.report.Objects {
			objects += n
		}
		if err := s.Events.Emit(ctx, event.Event{Source: string(scopeOf(v.Name)), Type: "Chatelaine.VaultImported", Subject: v.Name}); err != nil {
			return err
		}
		return s.shelf.Done(ctx, c, bring, object.Ref{Vault: v.Name}, map[audit.Field]string{audit.Count: strconv.Itoa(objects)})
	})
	return u.report, err
}
