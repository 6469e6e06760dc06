package console_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/pki/authority"
	"chatelaine.dev/internal/pki/pkitest"
	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/serve/console"
	"chatelaine.dev/internal/serve/console/consoletest"
	"chatelaine.dev/internal/vault/keystore"
)

func TestTheHierarchyIsDrawnAndSaidInWords(t *testing.T) {
	var floor *pkitest.Floor
	h := open(t, func(h *house, d *console.Deps) {
		floor = pkitest.New(t, h.vaults.DB, pkitest.Config{Now: h.access.Time()})
		d.Authorities = floor.Authorities
	})
	spec := authority.Spec{ID: "shops", CommonName: "Shops CA", Key: keystore.Spec{Type: keystore.AKP, Algorithm: "ML-DSA-44"}, Validity: 365 * 24 * time.Hour}
	spec.Permitted = profile.Names{DNS: []string{"shops.example.com"}}
	by := access.System("test")
	if _, err := floor.Authorities.CreateIntermediate(t.Context(), by, "root", spec); err != nil {
		t.Fatal(err)
	}
	other := authority.Spec{ID: "other", CommonName: "<b>Other</b> Root", Key: keystore.Spec{Type: keystore.EC, Curve: "P-256"}, Validity: 365 * 24 * time.Hour}
	if _, err := floor.Authorities.CreatePending(t.Context(), by, authority.Spec{ID: "bought", CommonName: "Bought", Key: other.Key}); err != nil {
		t.Fatal(err)
	}
	if _, err := floor.Authorities.Create(t.Context(), by, other); err == nil {
		t.Log("a name with markup is allowed by the lints")
	} else {
		other.CommonName = "Other Root"
		if _, err := floor.Authorities.Create(t.Context(), by, other); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := floor.Authorities.CrossSign(t.Context(), by, "shops", "other", 0, authority.Limits{}); err != nil {
		t.Fatal(err)
	}

	a := h.signedIn().page("/authorities")

	if a.StatusCode != http.StatusOK {
		t.Fatal(a.StatusCode)
	}
	classes := map[string]int{}
	for _, p := range a.doc.All("path") {
		classes[consoletest.Attr(p, "class")]++
	}
	if classes["way"] != 2 || classes["way also"] != 1 { // issuing and shops below root; shops by other
		t.Errorf("lines %v", classes)
	}
	rows := map[string]string{}
	for _, r := range a.doc.All("tr") {
		rows[consoletest.Attr(r, "id")] = consoletest.Text(r)
	}
	for id, words := range map[string][]string{
		"root": {"issues", "itself"}, "issuing": {"root", "path length 0"}, "shops": {"root", "other", "only shops.example.com", "ML-DSA"}, "bought": {"waits for its certificate", "nobody yet"},
	} {
		for _, w := range words {
			if !strings.Contains(rows["authority-"+id], w) {
				t.Errorf("%s: %q does not say %q", id, rows["authority-"+id], w)
			}
		}
	}
	boxes := 0
	for _, l := range a.doc.All("a") {
		if id, ok := strings.CutPrefix(consoletest.Attr(l, "href"), "#"); ok && rows[id] != "" {
			boxes++
		}
	}
	if boxes != 5 {
		t.Errorf("%s", fmt.Sprint(boxes, " boxes lead to their rows, of 5"))
	}
}
