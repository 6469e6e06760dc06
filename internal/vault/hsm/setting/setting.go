// Package setting keeps the settings of a Managed HSM that its Administrators change
// (contract §1.5).
package setting

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/vault/hsm"
	"chatelaine.dev/internal/vault/object"
)

// Setting is one setting with its value, "true" or "false": all settings that there are
// are booleans.
type Setting struct {
	Name  string
	Value string
}

// known are the settings with their values in a new HSM. Keys cannot be managed through
// our resource manager, so the only one has no effect but to be kept.
var known = []Setting{{"AllowKeyManagementOperationsThroughARM", "false"}}

// Row is the row of an HSM that holds what was changed.
const Row = "settings"

// Service reads and changes settings.
type Service struct{ hsm.Deps }

// New makes the service.
func New(d object.Deps) *Service { return &Service{hsm.Deps{Deps: d}} }

var (
	reading = hsm.Operation{Name: "SettingGet", Action: object.ManagedPrefix + "settings/read/action"}
	listing = hsm.Operation{Name: "SettingList", Action: object.ManagedPrefix + "settings/read/action"}
	writing = hsm.Operation{Name: "SettingUpdate", Action: object.ManagedPrefix + "settings/write/action"}
)

// List returns all settings.
func (s *Service) List(ctx context.Context, c access.Caller, vault string) (list []Setting, err error) {
	err = s.Call(ctx, c, vault, listing, func(v *object.Vault) error {
		changed, err := read(ctx, v)
		if err != nil {
			return err
		}
		for _, k := range known {
			list = append(list, k.with(changed))
		}
		return s.Done(ctx, c, vault, listing, nil)
	})
	return list, err
}

// Get returns one setting.
func (s *Service) Get(ctx context.Context, c access.Caller, vault, name string) (found Setting, err error) {
	err = s.Call(ctx, c, vault, reading, func(v *object.Vault) error {
		k, err := find(name)
		if err != nil {
			return err
		}
		changed, err := read(ctx, v)
		if err != nil {
			return err
		}
		found = k.with(changed)
		return s.Done(ctx, c, vault, reading, map[audit.Field]string{audit.Policy: k.Name})
	})
	return found, err
}

// Update changes a setting.
func (s *Service) Update(ctx context.Context, c access.Caller, vault, name, value string) (found Setting, err error) {
	err = s.Call(ctx, c, vault, writing, func(v *object.Vault) error {
		if found, err = find(name); err != nil {
			return err
		}
		if found.Value = strings.ToLower(value); found.Value != "true" && found.Value != "false" {
			return fault.New(fault.Invalid, "BadParameter", "The value of the setting %s must be true or false.", found.Name)
		}
		return s.Transact(ctx, func(ctx context.Context) error {
			_, err := v.SetHead(ctx, object.Administration, Row, func(h *object.Head) error {
				changed, err := decode(h.Extra)
				if err != nil {
					return err
				}
				changed[found.Name] = found.Value
				h.Extra, err = json.Marshal(changed)
				return err
			})
			if err != nil {
				return err
			}
			return s.Done(ctx, c, vault, writing, map[audit.Field]string{audit.Policy: found.Name})
		})
	})
	return found, err
}

func (s Setting) with(changed map[string]string) Setting {
	if value, ok := changed[s.Name]; ok {
		s.Value = value
	}
	return s
}

func find(name string) (Setting, error) {
	for _, k := range known {
		if strings.EqualFold(k.Name, name) {
			return k, nil
		}
	}
	return Setting{}, fault.New(fault.Invalid, "BadParameter", "There is no setting %.64q; GET /settings lists them.", name)
}

// read returns the values that were changed, by the setting's name.
func read(ctx context.Context, v *object.Vault) (map[string]string, error) {
	e, err := v.Read(ctx, object.Administration, Row, "")
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	return decode(e.Head.Extra)
}

func decode(extra json.RawMessage) (map[string]string, error) {
	changed := map[string]string{}
	if len(extra) == 0 {
		return changed, nil
	}
	if err := json.Unmarshal(extra, &changed); err != nil {
		return nil, fmt.Errorf("settings of the HSM: %w", err)
	}
	return changed, nil
}
