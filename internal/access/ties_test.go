package access_test

import (
	"testing"
	"time"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/auditdb"
	"chatelaine.dev/internal/storage/storagetest"
)

func TestWhoHasHadAnAccountInHandIsKnown(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		signer, err := audit.NewSigner("chatelaine/test/audit", make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		trail := audit.New(audit.Config{Store: auditdb.New(db), Signer: signer, Now: time.Now})
		record := func(principal, operation, target string, o audit.Outcome) {
			t.Helper()
			if err := trail.Record(t.Context(), audit.Record{Operation: operation, Target: target, Outcome: o, Principal: principal}); err != nil {
				t.Fatal(err)
			}
		}
		record("maker", "PrincipalCreate", "/principals/ann", audit.Success)
		record("giver", "CredentialAdd", "/principals/ann/credentials/1", audit.Success)
		record("setter", "PasswordSet", "/principals/ann", audit.Success)
		record("linker", "SignInLinkCreate", "/principals/ann", audit.Success)
		record("refused", "CredentialAdd", "/principals/ann", audit.Denied)
		record("other", "PrincipalCreate", "/principals/anna", audit.Success)
		record("assigner", "RoleAssignmentCreate", "/principals/ann", audit.Success)
		record("ann", "PasswordSet", "/principals/ann", audit.Success)

		ties := access.Ties{Trail: trail}
		for who, want := range map[string]bool{
			"maker": true, "giver": true, "setter": true, "linker": true, "refused": false, "other": false, "assigner": false, "nobody": false,
		} {
			if made, err := ties.Made(t.Context(), who, "ann"); err != nil || made != want {
				t.Errorf("%s: %v, %v; want %v", who, made, err, want)
			}
			if made, err := ties.Made(t.Context(), "ann", who); err != nil || made {
				t.Errorf("ann and %s the other way: %v, %v", who, made, err)
			}
		}
	})
}
