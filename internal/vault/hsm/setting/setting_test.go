package setting_test

import (
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/hsm/hsmtest"
	"chatelaine.dev/internal/vault/hsm/setting"
)

const name = "AllowKeyManagementOperationsThroughARM"

func TestSettingKeepsItsValue(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		w := hsmtest.New(t, db)
		s := setting.New(w.Deps)

		before, err := s.Get(t.Context(), w.Caller, hsmtest.HSM, name)
		if err != nil || before.Value != "false" {
			t.Fatalf("a new HSM has %+v, %v", before, err)
		}
		if _, err := s.Update(t.Context(), w.Caller, hsmtest.HSM, "allowKeyManagementOperationsThroughARM", "True"); err != nil {
			t.Fatal(err)
		}

		list, err := setting.New(w.Deps).List(t.Context(), w.Caller, hsmtest.HSM)
		if err != nil || len(list) != 1 || list[0] != (setting.Setting{Name: name, Value: "true"}) {
			t.Errorf("list %+v, %v", list, err)
		}
	})
}

func TestSettingsThatDoNotExistAreRefused(t *testing.T) {
	w := hsmtest.New(t, storagetest.SQLite(t))
	s := setting.New(w.Deps)

	if _, err := s.Get(t.Context(), w.Caller, hsmtest.HSM, "invalid name"); !fault.Is(err, fault.Invalid) {
		t.Errorf("get: %v", err)
	}
	if _, err := s.Update(t.Context(), w.Caller, hsmtest.HSM, "invalid name", "true"); !fault.Is(err, fault.Invalid) {
		t.Errorf("update: %v", err)
	}
	if _, err := s.Update(t.Context(), w.Caller, hsmtest.HSM, name, "perhaps"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a value that is none: %v", err)
	}
}

func TestOnlyAdministratorsSeeSettings(t *testing.T) {
	w := hsmtest.New(t, storagetest.SQLite(t))

	_, err := setting.New(w.Deps).List(t.Context(), access.Caller{Principal: "somebody"}, hsmtest.HSM)

	if !fault.Is(err, fault.Denied) {
		t.Errorf("list: %v", err)
	}
}
