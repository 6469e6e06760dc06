package console_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/pki/profile"
)

func TestAProfileIsCopiedChangedAndDeletedOnItsPages(t *testing.T) {
	p := apptest.Start(t)
	admin := administrator(t, p)
	admin.reads("/profiles", "tls-server", "code-signing", "built in")
	admin.reads("/profiles/tls-server", "serverAuth", "As data", "Copy…")
	admin.reads("/profiles/tls-server/copy", "Name of the copy")
	admin.reads(admin.post("/profiles/tls-server/copy", "name", "shop").Header.Get("Location"), "The profile was made", "revision 1", "Change…")
	if a := admin.post("/profiles/tls-server/copy", "name", "shop"); a.StatusCode != http.StatusConflict {
		t.Errorf("the same name again: %d", a.StatusCode)
	}

	x, err := p.Profiles.Get("shop")
	if err != nil {
		t.Fatal(err)
	}
	x.Doors = profile.Doors{EST: &profile.ESTDoor{Basic: true, Names: []string{"*"}}}
	text, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	admin.reads("/profiles/shop/change", "Revision that is changed")
	changed := admin.post("/profiles/shop/change", "profile", string(text), "revision", "1")
	admin.reads(changed.Header.Get("Location"), "The profile was changed", "How it can be abused", "ESC17", "revision 2")
	for _, bad := range [][2]string{{string(text), "1"}, {string(text), "x"}, {`{"name":"shop","wildcards":true}`, "2"}} {
		if a := admin.post("/profiles/shop/change", "profile", bad[0], "revision", bad[1]); a.StatusCode/100 != 4 {
			t.Errorf("%.40s at revision %s: %d", bad[0], bad[1], a.StatusCode)
		}
	}

	if a := admin.post("/profiles/shop/delete", "confirm", "shap"); a.StatusCode/100 != 4 {
		t.Errorf("deleted by another name: %d", a.StatusCode)
	}
	admin.reads("/profiles/shop/delete", "Type shop to confirm")
	admin.reads(admin.post("/profiles/shop/delete", "confirm", "shop").Header.Get("Location"), "The profile was deleted")
	if _, err := p.Profiles.Get("shop"); err == nil {
		t.Error("it is still there")
	}
	if a := admin.post("/profiles/tls-server/delete", "confirm", "tls-server"); a.StatusCode != http.StatusConflict {
		t.Errorf("a profile of the product: %d", a.StatusCode)
	}

	other := colleague(t, p, "Cleo", "Requester")
	other.reads("/profiles", "tls-server") // who asks for certificates sees by which rules
	for _, path := range []string{"/profiles/tls-server/copy", "/issuance-audits"} {
		if a := other.post(path, "name", "mine"); a.StatusCode != http.StatusForbidden {
			t.Errorf("%s by a requester: %d", path, a.StatusCode)
		}
	}
}

func TestAnIssuanceAuditIsStartedAndReadOnItsPage(t *testing.T) {
	p := apptest.Start(t)
	admin := administrator(t, p)

	there := admin.post("/issuance-audits").Header.Get("Location")
	if there == "" { // the one of the first start is still under way
		audits, err := p.Reviews.List(t.Context(), apptest.System)
		if err != nil || len(audits) == 0 {
			t.Fatalf("%d audits, %v", len(audits), err)
		}
		there = "/issuance-audits/" + audits[0].ID
	}

	admin.reads(there, "Issuance audit", "certificates", "Findings")
	if a := admin.do(http.MethodGet, there+"/line", nil); a.StatusCode != http.StatusOK || !strings.Contains(a.body, "Checked") {
		t.Errorf("the line that tells how far it is: %d %s", a.StatusCode, a.body)
	}
	admin.reads("/profiles", "Issuance audits")
	other := colleague(t, p, "Cleo", "Requester")
	if a := other.do(http.MethodGet, there, nil); a.StatusCode != http.StatusForbidden {
		t.Errorf("read by a requester: %d", a.StatusCode)
	}
}
