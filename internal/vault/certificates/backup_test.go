package certificates_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/certificates"
	"chatelaine.dev/internal/vault/keys"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/vaulttest"
)

// history is what every version of a certificate, its key and its secret is.
func (h *house) history(name string) map[object.Kind][]object.Version {
	h.t.Helper()
	v, err := h.Vaults.Open(h.t.Context(), vaulttest.Vault)
	if err != nil {
		h.t.Fatal(err)
	}
	all := map[object.Kind][]object.Version{}
	for _, k := range []object.Kind{object.Certificates, object.Keys, object.Secrets} {
		list, _, err := v.Versions(h.t.Context(), k, name, 0, 100)
		if err != nil {
			h.t.Fatal(err)
		}
		all[k] = list
	}
	return all
}

func TestRestoredCertificateIsWhatWasBackedUp(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h := newHouse(t, db)
		h.create("web", selfEC)
		h.Advance(1e9)
		h.create("web", selfEC)
		was, before := h.get("web"), h.history("web")
		blob, err := h.certs.Backup(t.Context(), h.Caller, ref("web"))
		if err != nil {
			t.Fatal(err)
		}

		for range 2 { // it exists, and then it is deleted
			if _, err := h.certs.Restore(t.Context(), h.Caller, vaulttest.Vault, blob); !fault.Is(err, fault.Conflict) {
				t.Errorf("restored over what is there: %v", err)
			}
			_, _ = h.certs.Delete(t.Context(), h.Caller, ref("web"))
		}
		if err := h.certs.Purge(t.Context(), h.Caller, ref("web")); err != nil {
			t.Fatal(err)
		}
		h.Reopen() // the blob opens in another process as well
		h.serve()
		got, err := h.certs.Restore(t.Context(), h.Caller, vaulttest.Vault, blob)
		if err != nil {
			t.Fatal(err)
		}

		if d := cmp.Diff(before, h.history("web")); d != "" {
			t.Errorf("versions differ (-before +restored):\n%s", d)
		}
		if d := cmp.Diff([]any{was.Version, was.Policy, was.Operation}, []any{got.Version, got.Policy, got.Operation}); d != "" {
			t.Errorf("certificate, policy or operation differ (-before +restored):\n%s", d)
		}
		if _, b := h.revealed(h.get("web")); b.Key == nil {
			t.Error("the secret has no key")
		}
		h.create("web", selfEC) // and it lives on
		v, err := h.Vaults.Open(t.Context(), vaulttest.Vault)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Verify(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A key of another owner under the certificate's name must not end up as its key.
func TestRestoreRefusesTheNameOfAForeignKey(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	h.create("web", selfEC)
	blob, err := h.certs.Backup(t.Context(), h.Caller, ref("web"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.certs.Delete(t.Context(), h.Caller, ref("web")); err != nil {
		t.Fatal(err)
	}
	if err := h.certs.Purge(t.Context(), h.Caller, ref("web")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.keys.Create(t.Context(), h.Caller, ref("web"), keys.CreateRequest{Type: "EC"}); err != nil {
		t.Fatal(err)
	}

	if _, err := h.certs.Restore(t.Context(), h.Caller, vaulttest.Vault, blob); !fault.Is(err, fault.Conflict) {
		t.Errorf("restored beside a foreign key: %v", err)
	}

	if _, _, err := h.secrets.Get(t.Context(), h.Caller, ref("web")); !fault.Is(err, fault.NotFound) {
		t.Errorf("a part of it came back: %v", err)
	}
}

// A request that waits for its certificate keeps its key through backup and restore.
func TestPendingRequestSurvivesBackupAndRestore(t *testing.T) {
	h := newHouse(t, storagetest.SQLite(t))
	op := h.create("web", unknownEC)
	blob, err := h.certs.Backup(t.Context(), h.Caller, ref("web"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.certs.DeletePending(t.Context(), h.Caller, ref("web")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.certs.Restore(t.Context(), h.Caller, vaulttest.Vault, blob); err != nil {
		t.Fatal(err)
	}

	got, err := h.certs.Merge(t.Context(), h.Caller, ref("web"), certificates.MergeRequest{Certificates: [][]byte{newCA(t).issue(t, publicOf(t, op)).Raw}})

	if err != nil || !got.Issued() {
		t.Error(err)
	}
}
