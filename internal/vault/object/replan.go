package object

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"chatelaine.dev/internal/fault"
)

// Plans names all planners. Where it differs from when the table of due times was last
// rebuilt, some object was never asked: call Rebuild.
func (vs *Vaults) Plans() string {
	return strings.Join(slices.Sorted(slices.Values(vs.plans)), "\n")
}

// Rebuild makes the table of due times say what the objects say. It reads every object
// once, beside the work that goes on, and writes only what is wrong.
func (a *Agenda) Rebuild(ctx context.Context) error {
	return a.eachVault(ctx, func(v *Vault) error {
		for k := range a.Vaults.planners {
			err := v.each(ctx, k, func(e Entry) error {
				wrong, err := v.misplanned(ctx, k, e)
				if err != nil || !wrong {
					return err
				}
				return a.replan(ctx, v, k, e.Head.Name)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// eachVault calls fn for every vault, the deleted too: they may be recovered.
func (a *Agenda) eachVault(ctx context.Context, fn func(v *Vault) error) error {
	for _, list := range []func(context.Context, string, int) ([]*Vault, error){a.Vaults.List, a.Vaults.ListDeleted} {
		for after := ""; ; {
			found, err := list(ctx, after, 100)
			if err != nil {
				return err
			}
			if len(found) == 0 {
				break
			}
			for _, l := range found {
				v, err := a.Vaults.OpenAny(ctx, l.Name)
				if fault.Is(err, fault.NotFound) {
					continue // purged meanwhile
				}
				if err != nil {
					return err
				}
				if err := fn(v); err != nil {
					return fmt.Errorf("vault %s: %w", v.Name, err)
				}
			}
			after = found[len(found)-1].Name
		}
	}
	return nil
}

// each calls fn for every object of a kind, the deleted too.
func (v *Vault) each(ctx context.Context, k Kind, fn func(e Entry) error) error {
	for _, deleted := range []bool{false, true} {
		for after := ""; ; {
			list, err := v.List(ctx, k, deleted, after, 100)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				break
			}
			for _, e := range list {
				if err := fn(e); err != nil {
					return err
				}
			}
			after = list[len(list)-1].Head.Name
		}
	}
	return nil
}

// misplanned reports whether the table says otherwise than the object.
func (v *Vault) misplanned(ctx context.Context, k Kind, e Entry) (bool, error) {
	is, err := v.vaults.due(k, e)
	if err != nil {
		return false, err
	}
	was, err := v.stored(ctx, k, e.Head.Name)
	return len(v.differences(k, e.Head.Name, was, is)) > 0, err
}

// replan makes the rows of an object say what the object says. The vault is locked
// meanwhile, so that no change comes in between.
func (a *Agenda) replan(ctx context.Context, v *Vault, k Kind, name string) error {
	return a.Transact(ctx, func(ctx context.Context) error {
		return v.change(ctx, func(*turn) error {
			_, is, err := v.planned(ctx, k, name)
			if err != nil {
				return err
			}
			was, err := v.stored(ctx, k, name)
			if err != nil {
				return err
			}
			for _, c := range v.differences(k, name, was, is) {
				if err := c.write(ctx, v.vaults.dues); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// planned reads an object, if there is one, and what is due for it.
func (v *Vault) planned(ctx context.Context, k Kind, name string) (Entry, []Due, error) {
	e, err := v.find(ctx, k, name, "")
	if fault.Is(err, fault.NotFound) {
		return Entry{}, nil, nil
	}
	if err != nil {
		return e, nil, err
	}
	due, err := v.vaults.due(k, e)
	return e, due, err
}

// stored is what the table says of an object.
func (v *Vault) stored(ctx context.Context, k Kind, name string) ([]Due, error) {
	rows, err := v.vaults.dues.DuesOf(ctx, v.Name, k, strings.ToLower(name))
	list := make([]Due, 0, len(rows))
	for _, r := range rows {
		list = append(list, r.Due)
	}
	return list, err
}
