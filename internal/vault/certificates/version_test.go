package certificates_test

import (
	"testing"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

func TestVersionOfACertificateGoesWithItsKeyAndSecret(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h := newHouse(t, db)
		ctx := t.Context()
		h.create("web", selfEC)
		first := h.get("web")
		h.create("web", selfEC)
		latest := h.get("web")
		r := ref("web")
		r.Version = latest.Version.ID

		for what, err := range map[string]error{
			"key":    second(h.keys.DeleteVersion(ctx, h.Caller, r)),
			"secret": second(h.secrets.DeleteVersion(ctx, h.Caller, r)),
		} {
			if !fault.HasCode(err, "ManagedObject") {
				t.Errorf("the version of the %s alone: %v, want ManagedObject", what, err)
			}
		}
		gone, err := h.certs.DeleteVersion(ctx, h.Caller, r)
		if err != nil || gone.Version.ID != latest.Version.ID {
			t.Fatalf("%s: %v", gone.Version.ID, err)
		}

		if c := h.get("web"); c.Version.ID != first.Version.ID {
			t.Errorf("the latest is %s, want the first", c.Version.ID)
		}
		if k, err := h.keys.Get(ctx, h.Caller, ref("web")); err != nil || k.Version.ID != first.Version.ID {
			t.Errorf("the latest key is %s: %v", k.Version.ID, err)
		}
		if _, err := h.keys.Get(ctx, h.Caller, r); !fault.HasCode(err, "KeyNotFound") {
			t.Errorf("the key of the version: %v, want KeyNotFound", err)
		}
		if _, _, err := h.secrets.Get(ctx, h.Caller, r); !fault.HasCode(err, "SecretNotFound") {
			t.Errorf("the secret of the version: %v, want SecretNotFound", err)
		}
		r.Version = first.Version.ID
		if _, err := h.certs.DeleteVersion(ctx, h.Caller, r); !fault.HasCode(err, "OnlyVersion") {
			t.Errorf("the last version: %v, want OnlyVersion", err)
		}
		if n := rows(t, db); n != 6 {
			t.Errorf("%d rows, want 6: three objects with one version each", n)
		}
	})
}
