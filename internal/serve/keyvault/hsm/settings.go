package hsm

import (
	"context"

	"chatelaine.dev/internal/serve/keyvault/wire"
	hsmsetting "chatelaine.dev/internal/vault/hsm/setting"
)

// setting is Setting.
type setting struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value"`
}

func describeSetting(s hsmsetting.Setting) setting {
	return setting{Name: s.Name, Type: "boolean", Value: s.Value}
}

// getSettings is GET /settings: SettingsListResult.
func (d door) getSettings(ctx context.Context, q *wire.Request) (wire.Response, error) {
	list, err := d.Settings.List(ctx, q.Caller, q.Vault)
	out := struct {
		Settings []setting `json:"settings"`
	}{[]setting{}}
	for _, s := range list {
		out.Settings = append(out.Settings, describeSetting(s))
	}
	return wire.Response{Body: out}, err
}

// getSetting is GET /settings/{name}: Setting.
func (d door) getSetting(ctx context.Context, q *wire.Request) (wire.Response, error) {
	s, err := d.Settings.Get(ctx, q.Caller, q.Vault, q.Name)
	return wire.Response{Body: describeSetting(s)}, err
}

// updateSetting is PATCH /settings/{name}: Setting.
func (d door) updateSetting(ctx context.Context, q *wire.Request) (wire.Response, error) {
	var in struct {
		Value string `json:"value"`
	}
	if err := q.Decode(&in); err != nil {
		return wire.Response{}, err
	}
	s, err := d.Settings.Update(ctx, q.Caller, q.Vault, q.Name, in.Value)
	return wire.Response{Body: describeSetting(s)}, err
}
