package contact_test

import (
	"strings"
	"testing"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/fault"
	"chatelaine.dev/internal/storage/storagetest"
	"chatelaine.dev/internal/vault/certificates/contact"
	"chatelaine.dev/internal/vault/vaulttest"
)

// An address goes into the header of a message as it is.
func TestOnlyAPlainAddressIsAnAddress(t *testing.T) {
	for text, want := range map[string]bool{
		"someone@example.com": true, "a.b+c@x.example": true, "o'neil@example.com": true,
		"": false, "someone": false, "@example.com": false, "someone@": false,
		"Someone <someone@example.com>": false, "<someone@example.com>": false,
		"a@example.com, b@example.com": false, "a@example.com b": false,
		"a@example.com\r\nBcc: b@example.com": false, "a@example.com\n": false, "a\x00@example.com": false,
		"a@example.com(comment)": false, `"a b"@example.com`: false, "é@example.com": false,
		strings.Repeat("a", 64) + "@" + strings.Repeat("b.", 100) + "example": false,
	} {
		if got := contact.IsAddress(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestContactsNeedTheRightToManageThem(t *testing.T) {
	f := vaulttest.New(t, storagetest.SQLite(t))
	s := contact.New(f.Deps)
	if err := s.Set(t.Context(), f.Caller, vaulttest.Vault, []contact.Contact{{Email: "a@example.com"}}); err != nil {
		t.Fatal(err)
	}
	f.Deny(access.VaultPrefix + "certificatecontacts/write")

	_, get := s.Get(t.Context(), f.Caller, vaulttest.Vault)
	_, remove := s.Delete(t.Context(), f.Caller, vaulttest.Vault)
	set := s.Set(t.Context(), f.Caller, vaulttest.Vault, nil)

	for what, err := range map[string]error{"get": get, "delete": remove, "set": set} {
		if !fault.HasCode(err, "ForbiddenByRbac") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
