package backup

import (
	"context"
	"fmt"
	"strings"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/object"
)

// eraseBatch is how many keys one transaction takes away.
const eraseBatch = 100

// contents are the names and versions of the keys of a backup, after every part was read
// and found whole.
type contents struct {
	versions map[string]map[string]bool // by the key's name in lower case
	roles    []object.Whole
	settings []object.Whole
}

func (a *archive) survey(ctx context.Context) (contents, error) {
	c := contents{versions: map[string]map[string]bool{}}
	objects := 0
	err := a.each(ctx, func(list []object.Whole) error {
		for _, x := range list {
			objects++
			switch x.Kind {
			case object.Keys:
				ids := map[string]bool{}
				for _, v := range x.Versions {
					ids[strings.ToLower(v.ID)] = true
				}
				c.versions[strings.ToLower(x.Head.Name)] = ids
			case object.RoleDefinitions, object.RoleAssignments:
				c.roles = append(c.roles, x)
			case object.Administration:
				c.settings = append(c.settings, x)
			}
		}
		return nil
	})
	if err == nil && objects != a.list.Objects {
		err = notABackup(a.folder)
	}
	return c, err
}

// check says whether restore would do its work.
func (s *Service) check(ctx context.Context, v *object.Vault, a *archive) (outcome, error) {
	c, err := a.survey(ctx)
	if err != nil {
		return outcome{}, err
	}
	if err := s.protect(ctx, v, c); err != nil {
		return outcome{}, err
	}
	return outcome{details: fmt.Sprintf("The backup of %s is whole: %d keys.", a.first.HSM, len(c.versions))}, nil
}

// restore makes the HSM what the backup says. Everything is read and checked before
// anything is changed. Then keys follow part by part: a restore that is cut off in the
// middle goes on with the next run of its job. Who is Administrator of the HSM now stays
// so, whatever the backup says: its principals may be those of another installation.
func (s *Service) restore(ctx context.Context, v *object.Vault, a *archive) (outcome, error) {
	c, err := a.survey(ctx)
	if err != nil {
		return outcome{}, err
	}
	if err := s.protect(ctx, v, c); err != nil {
		return outcome{}, err
	}
	done := 0
	err = a.each(ctx, func(list []object.Whole) error {
		done++
		return s.Transact(ctx, func(ctx context.Context) error {
			for _, x := range list {
				if x.Kind != object.Keys {
					continue
				}
				if err := v.Replace(ctx, x); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err == nil {
		err = s.eraseOthers(ctx, v, c)
	}
	if err != nil {
		if f := fault.Of(err); done > 0 && f.Kind != fault.Internal {
			err = fault.Wrap(err, f.Kind, f.Code, fmt.Sprintf("The restore ended after part %d of %d; the HSM is between two states. Start it again. %s", done, len(a.list.Parts), f.Message))
		}
		return outcome{}, err
	}
	return outcome{
		details: fmt.Sprintf("%d keys of the backup of %s", len(c.versions), a.first.HSM),
		last: func(ctx context.Context) error {
			for _, x := range c.settings {
				if err := v.Replace(ctx, x); err != nil {
					return err
				}
			}
			return s.roles.Replace(ctx, v, c.roles)
		},
	}, nil
}

// eachKey calls fn with the name of every key of the HSM, deleted ones too.
func eachKey(ctx context.Context, v *object.Vault, fn func(h object.Head) error) error {
	for _, deleted := range []bool{false, true} {
		for after := ""; ; {
			list, err := v.List(ctx, object.Keys, deleted, after, 100)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				break
			}
			for _, e := range list {
				if err := fn(e.Head); err != nil {
					return err
				}
				after = e.Head.Name
			}
		}
	}
	return nil
}

// protect refuses what would destroy a version of a key in an HSM with purge protection.
func (s *Service) protect(ctx context.Context, v *object.Vault, c contents) error {
	if !v.Settings().PurgeProtection {
		return nil
	}
	return eachKey(ctx, v, func(h object.Head) error { return keeps(ctx, v, h, c.versions[strings.ToLower(h.Name)]) })
}

func keeps(ctx context.Context, v *object.Vault, h object.Head, ids map[string]bool) error {
	for after := int64(0); ; {
		list, next, err := v.Versions(ctx, object.Keys, h.Name, after, 100)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, x := range list {
			if !ids[strings.ToLower(x.ID)] {
				return fault.New(fault.Conflict, "PurgeProtected", "The HSM has purge protection, and the backup does not have the version %s of the key %s, which would be lost. Restore into a new HSM.", x.ID, h.Name)
			}
		}
		after = next
	}
}

// eraseOthers takes away the keys that the backup does not have.
func (s *Service) eraseOthers(ctx context.Context, v *object.Vault, c contents) error {
	var others []string
	err := eachKey(ctx, v, func(h object.Head) error {
		if c.versions[strings.ToLower(h.Name)] == nil {
			others = append(others, h.Name)
		}
		return nil
	})
	for err == nil && len(others) > 0 {
		n := min(len(others), eraseBatch)
		err = s.Transact(ctx, func(ctx context.Context) error {
			for _, name := range others[:n] {
				if err := v.Erase(ctx, object.Keys, name); err != nil && !fault.Is(err, fault.NotFound) {
					return err
				}
			}
			return nil
		})
		others = others[n:]
	}
	return err
}

// restoreKey brings one key back, with all versions that the backup has, over one that is
// there.
func (s *Service) restoreKey(ctx context.Context, v *object.Vault, a *archive, name string) (outcome, error) {
	var found *object.Whole
	err := a.each(ctx, func(list []object.Whole) error {
		for _, x := range list {
			if x.Kind == object.Keys && strings.EqualFold(x.Head.Name, name) {
				found = &x
			}
		}
		return nil
	})
	if err != nil {
		return outcome{}, err
	}
	if found == nil {
		return outcome{}, fault.New(fault.NotFound, "KeyNotFound", "The backup has no key %s.", name)
	}
	c := contents{versions: map[string]map[string]bool{}}
	ids := map[string]bool{}
	for _, x := range found.Versions {
		ids[strings.ToLower(x.ID)] = true
	}
	c.versions[strings.ToLower(name)] = ids
	if v.Settings().PurgeProtection {
		if err := keeps(ctx, v, found.Head, ids); err != nil {
			return outcome{}, err
		}
	}
	return outcome{
		details: fmt.Sprintf("%d versions of the key %s", len(found.Versions), found.Head.Name),
		last:    func(ctx context.Context) error { return v.Replace(ctx, *found) },
	}, nil
}
