package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/lifecycle/acme"
	"chatelaine.dev/internal/serve/console/consoletest"
)

func TestAnACMEKeyIsMadeShownOnceAndRevokedOnItsPages(t *testing.T) {
	p := apptest.Start(t)
	admin := administrator(t, p)
	admin.reads("/acme-server", "No key yet", "No account yet", "No window")
	admin.reads("/acme-server/keys/new", "Application or team")

	if a := admin.post("/acme-server/keys/new", "profile", "tls-server", "owner", "shop"); a.StatusCode != http.StatusOK {
		t.Fatalf("make a key: %d", a.StatusCode)
	}
	keys, err := p.ACME.Keys.ExternalKeys(t.Context(), "", "", 10)
	if err != nil || len(keys) != 1 || keys[0].Owner != "shop" {
		t.Fatalf("%+v, %v", keys, err)
	}
	k := keys[0]
	admin.reads("/acme-server", k.ID, "for one account")
	if list := admin.reads("/acme-server"); strings.Contains(consoletest.Text(list.doc.All("body")[0]), k.Secret.Reveal()) {
		t.Error("the list shows the secret")
	}
	admin.reads("/acme-server/keys/"+k.ID+"/revoke", "Revoke the key")
	admin.reads(admin.post("/acme-server/keys/"+k.ID+"/revoke").Header.Get("Location"), "It has ended", "revoked")
	if a := admin.post("/acme-server/keys/new", "profile", "absent", "owner", "shop"); a.StatusCode/100 != 4 {
		t.Errorf("a key for a profile that is not there: %d", a.StatusCode)
	}

	admin.reads(admin.post("/acme-server/windows/new", "hours", "24", "name", "*.example.com").Header.Get("Location"), "The window is open", "name *.example.com")
	windows, err := p.ACME.Windows(t.Context(), apptest.System)
	if err != nil || len(windows) != 1 || time.Until(windows[0].End).Round(time.Hour) != 24*time.Hour {
		t.Fatalf("%+v, %v", windows, err)
	}
	if a := admin.post("/acme-server/windows/new", "hours", "x"); a.StatusCode/100 != 4 {
		t.Errorf("a window of no hours: %d", a.StatusCode)
	}
	admin.reads(admin.post("/acme-server/windows/"+windows[0].ID+"/delete").Header.Get("Location"), "It has ended", "No window")

	other := colleague(t, p, "Cleo", "Requester")
	for _, path := range []string{"/acme-server/keys/new", "/acme-server/keys/" + k.ID + "/revoke", "/acme-server/accounts/x/deactivate", "/acme-server/windows/new", "/acme-server/windows/x/delete"} {
		if a := other.post(path, "profile", "tls-server", "owner", "mine", "hours", "1"); a.StatusCode != http.StatusForbidden {
			t.Errorf("%s by a requester: %d", path, a.StatusCode)
		}
	}
	if list, err := p.ACME.Accounts(t.Context(), apptest.System, acme.AccountQuery{}); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}
