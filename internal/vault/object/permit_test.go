package object

import (
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/vault/settings"
)

// An action without a word could be given to nobody in a vault with access policies.
func TestEveryActionHasAPermissionWord(t *testing.T) {
	known := map[access.Action]bool{}
	for _, a := range access.VaultActions() {
		known[a] = true
		for _, op := range []Operation{Get, List, ListVersions, ListDeleted, GetDeleted, "Anything"} {
			if p := neededFor(op, a); p.set.Len() != 1 || p.area == "" || p.word == "" {
				t.Errorf("%s for %s needs %+v", op, a, p)
			}
		}
	}
	if len(known) < 40 {
		t.Errorf("%d actions", len(known))
	}
	for op, want := range map[Operation]permission{
		Get:  {area: settings.Secrets, word: "get"},
		List: {area: settings.Secrets, word: "list"},
	} {
		action := access.Action(access.VaultPrefix + "secrets/getSecret/action")
		if op == List {
			action = access.VaultPrefix + "secrets/readMetadata/action"
		}
		if p := neededFor(op, action); p.area != want.area || p.word != want.word {
			t.Errorf("%s needs %s %s", op, p.area, p.word)
		}
	}
	if p := neededFor("ExportRequest", access.VaultPrefix+"export/action"); p.set != settings.All(settings.Keys, settings.Secrets, settings.Certificates) {
		t.Errorf("whoever takes a vault away needs %b", p.set)
	}
	if p := neededFor("IssuersList", access.VaultPrefix+"certificatecas/read"); p.word != "listissuers" {
		t.Errorf("whoever lists issuers needs %s", p.word)
	}
	if p := neededFor(Get, access.VaultPrefix+"secrets/sing/action"); p.set != 0 {
		t.Errorf("an unknown action is allowed to whoever has %s %s", p.area, p.word)
	}
}
