package access

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The matrix of contract §2.7, written out once more by hand and by letters, so that a
// pattern that is too wide or too narrow shows. Actions are those of vaultActions.
var matrix = map[string]string{
	"Key Vault Administrator": `*`,
	"Key Vault Reader": `keys/read keys/encrypt/action keys/wrap/action keys/verify/action keyrotationpolicies/read
		secrets/readMetadata/action certificates/read certificatecas/read`,
	"Key Vault Certificates Officer": `certificates/read certificates/delete certificates/create/action certificates/import/action
		certificates/update/action certificates/backup/action certificates/restore/action certificates/recover/action
		certificates/purge/action certificatecas/read certificatecas/write certificatecas/delete certificatecontacts/write`,
	"Key Vault Certificate User": `certificates/read secrets/getSecret/action secrets/readMetadata/action
		keys/read keys/encrypt/action keys/wrap/action keys/verify/action`,
	"Key Vault Crypto Officer": `keys/read keys/delete keys/create/action keys/import/action keys/update/action keys/recover/action
		keys/restore/action keys/backup/action keys/purge/action keys/encrypt/action keys/decrypt/action keys/wrap/action
		keys/unwrap/action keys/sign/action keys/verify/action keys/release/action keys/rotate/action
		keyrotationpolicies/read keyrotationpolicies/write`,
	"Key Vault Crypto User": `keys/read keys/update/action keys/backup/action keys/encrypt/action keys/decrypt/action
		keys/wrap/action keys/unwrap/action keys/sign/action keys/verify/action`,
	"Key Vault Crypto Service Encryption User": `keys/read keys/wrap/action keys/unwrap/action keys/encrypt/action keys/verify/action`,
	"Key Vault Crypto Service Release User":    `keys/release/action`,
	"Key Vault Secrets Officer": `secrets/getSecret/action secrets/setSecret/action secrets/readMetadata/action secrets/update/action
		secrets/backup/action secrets/restore/action secrets/recover/action secrets/purge/action secrets/delete`,
	"Key Vault Secrets User": `secrets/getSecret/action secrets/readMetadata/action`,
	"Key Vault Contributor":  ``, "Key Vault Purge Operator": ``,
	"Administrator": ``, "Operator": ``, "Subscriber": ``, "Requester": ``, "Approver": ``, "Auditor": ``,
}

func TestVaultRolesAllowWhatAzureSays(t *testing.T) {
	for _, r := range Roles() {
		want, ok := matrix[r.Name]
		if !ok {
			t.Errorf("role %q has no row", r.Name)
		}
		for _, a := range vaultActions {
			allowed := want == "*" || slices.Contains(strings.Fields(want), a)
			if r.Allows(Action(VaultPrefix+a)) != allowed {
				t.Errorf("%s × %s: want %v", r.Name, a, allowed)
			}
		}
		delete(matrix, r.Name)
	}
	for name := range matrix {
		t.Errorf("there is no role %q", name)
	}
}

func TestControlRolesKeepDutiesApart(t *testing.T) {
	for _, c := range []struct {
		action string
		roles  string
	}{
		{"certificates/read", "Administrator Operator Requester Approver Auditor"},
		{"certificates/issue", "Administrator Operator"},
		{"certificates/revoke", "Administrator Operator"},
		{"requests/read", "Administrator Operator Requester Approver Auditor"},
		{"requests/write", "Administrator Operator Requester"},
		{"requests/approve", "Administrator Approver"},
		{"campaigns/run", "Administrator Operator"},
		{"campaigns/write", "Administrator Operator"},
		{"lineages/write", "Administrator Operator"},
		{"deployments/deploy", "Administrator Operator"},
		{"connections/read", "Administrator Operator Auditor"},
		{"connections/write", "Administrator"},
		{"authorities/read", "Administrator Operator Requester Approver Auditor"},
		{"authorities/write", "Administrator"},
		{"profiles/write", "Administrator"},
		{"vaults/read", "Key-Vault-Contributor Key-Vault-Purge-Operator Administrator Operator Auditor"},
		{"vaults/delete", "Key-Vault-Contributor Administrator"},
		{"vaults/purge", "Key-Vault-Purge-Operator Administrator"},
		{"subscriptions/read", "Administrator Operator Subscriber Auditor"},
		{"subscriptions/write", "Administrator Subscriber"},
		{"vaults/write", "Key-Vault-Contributor Administrator"},
		{"acme/read", "Administrator Operator Auditor"},
		{"acme/write", "Administrator Operator"},
		{"audit/read", "Administrator Auditor"},
		{"access/read", "Administrator Auditor"},
		{"access/write", "Administrator"},
	} {
		for _, r := range Roles() {
			want := slices.Contains(strings.Fields(c.roles), strings.ReplaceAll(r.Name, " ", "-"))
			if r.Allows(Action(ControlPrefix+c.action)) != want {
				t.Errorf("%s × %s: want %v", r.Name, c.action, want)
			}
		}
	}
}

func TestRolesHaveAzuresIds(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Roles() {
		if seen[r.ID] || len(r.ID) != 36 || r.Description == "" || len(r.Actions) == 0 {
			t.Errorf("role %+v", r)
		}
		seen[r.ID] = true
	}
	for name, id := range map[string]string{
		"Key Vault Administrator": "00482a5a-887f-4fb3-b363-3b7fe8e74483", "key vault secrets user": "4633458b-17de-408a-b874-0445c86b69e6",
		"Key Vault Reader": "21090545-7ca7-4776-b22c-e363652d74d2", "Key Vault Crypto User": "12338af0-0e69-4776-bea7-57ae8d297424",
	} {
		r, err := FindRole(name)
		byID, err2 := FindRole(strings.ToUpper(id))
		if err != nil || err2 != nil || r.ID != id || byID.Name != r.Name {
			t.Errorf("%s: %v %v, id %s", name, err, err2, r.ID)
		}
	}
	if _, err := FindRole("Owner"); err == nil {
		t.Error("a role that does not exist was found")
	}
}

func TestPatternsMatchAsAGlobDoes(t *testing.T) {
	for _, c := range []struct {
		pattern, action string
		want            bool
	}{
		{"*", "", true}, {"*", "a/b", true}, {"", "a", false}, {"a", "", false},
		{"a/*", "a/", true}, {"a/*", "a", false}, {"a/*", "ab/c", false},
		{"*/read", "a/b/read", true}, {"*/read", "a/readMetadata/action", false}, {"*/read", "a/read/x", false},
		{"A/Read", "a/rEAD", true}, {"a*c*e", "abcde", true}, {"a*c*e", "abde", false},
		{"*a*a*a*a*a*b", strings.Repeat("a", 200), false},
	} {
		if got := matches(c.pattern, c.action); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.action, got)
		}
	}
}

func TestScopesAreOneFormAndNothingElse(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/vaults/payroll": "/vaults/payroll", "/vaults/Payroll/Secrets/DB-1": "/vaults/payroll/secrets/db-1",
		"/endpoints/a.example.com:443": "/endpoints/a.example.com:443",
	} {
		if got, err := ParseScope(in); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", "vaults", "//", "/vaults/", "/vaults//a", "/vaults/.", "/vaults/..", "/vaults/../a", "/vaults/a/", "/vaults/a b", "/vaults/a%2fb",
		"/vaults/\u212Aeys", "/vaults/ｋeys", "/vaults/a\x00", "/vaults/a\\b", "/vaults/*", "/vaults/a;b", "/vaults/-a",
		"/" + strings.Repeat("a", 600), strings.Repeat("/a", 9),
	} {
		if got, err := ParseScope(in); err == nil {
			t.Errorf("%q is taken, as %q", in, got)
		}
	}
}

func TestScopeIsWithinWhatIsAboveIt(t *testing.T) {
	for _, c := range []struct {
		inner, outer Scope
		want         bool
	}{
		{"/", "/", true}, {"/vaults/a", "/", true}, {"/vaults/a", "/vaults/a", true}, {"/vaults/a/keys/k", "/vaults/a", true},
		{"/", "/vaults/a", false}, {"/vaults/ab", "/vaults/a", false}, {"/vaults/ab/keys/k", "/vaults/a", false}, {"/vaults/a", "/vaults/a/keys/k", false},
	} {
		if got := c.inner.Within(c.outer); got != c.want {
			t.Errorf("%s within %s: %v", c.inner, c.outer, got)
		}
	}
}

// Two scopes that differ in more than case stay two, and walking up ends at the root.
func TestScopesNeverAlias(t *testing.T) {
	text := rapid.StringMatching(`(/[A-Za-z0-9][A-Za-z0-9.:@+_-]{0,6}){1,4}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		sa, err := ParseScope(a)
		if err != nil {
			t.Fatal(err)
		}
		sb, err := ParseScope(b)
		if err != nil {
			t.Fatal(err)
		}
		if (sa == sb) != strings.EqualFold(a, b) {
			t.Fatalf("%q and %q", a, b)
		}
		steps := 0
		for s := sa; s != Root; s = s.Parent() {
			if !sa.Within(s) || steps > maxSegments {
				t.Fatalf("%q is not within its parent %q", sa, s)
			}
			steps++
		}
		if sa.Within(sb) && sa != sb && !strings.HasPrefix(string(sa), string(sb)+"/") {
			t.Fatalf("%q within %q", sa, sb)
		}
	})
}
