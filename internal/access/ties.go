package access

import (
	"context"

	"chatelaine.dev/internal/audit"
)

// Ties tells from the audit trail who has had whom in hand, and so may be both.
type Ties struct{ Trail *audit.Trail }

// handing are the operations on a principal after which whoever did them can be it.
var handing = [...]string{"PrincipalCreate", "CredentialAdd", "PasswordSet", "SignInLinkCreate"}

// Made reports whether one principal has ever made the other, or given it a secret, a
// password or a link to sign in.
func (t Ties) Made(ctx context.Context, one, other string) (bool, error) {
	for _, operation := range handing {
		found, err := t.Trail.List(ctx, audit.Query{Operation: operation, Principal: one, Target: "/principals/" + other, Outcome: audit.Success, Limit: 1})
		if err != nil || len(found) > 0 {
			return len(found) > 0, err
		}
	}
	return false, nil
}
