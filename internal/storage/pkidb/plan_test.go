package pkidb

import (
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/pki/issuance"
	"chatelaine.dev/internal/pki/revocation"
	"chatelaine.dev/internal/storage"
	"chatelaine.dev/internal/storage/storagetest"
)

// plan is how SQLite goes about a query.
func plan(t *testing.T, db *storage.DB, q string, args ...any) string {
	t.Helper()
	rows, err := db.Query(t.Context(), `EXPLAIN QUERY PLAN `+q, args...)
	lines, err := storage.Collect(rows, err, func(row storage.Scanner) (string, error) {
		var id, parent, unused int
		var detail string
		return detail, row.Scan(&id, &parent, &unused, &detail)
	})
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return strings.Join(lines, "\n")
}

// A page of what was issued is read in its order from an index that holds the filter too:
// else a rare state or profile looks at a million certificates.
func TestAPageOfWhatWasIssuedReadsNoMoreThanThePage(t *testing.T) {
	t.Parallel()
	db := storagetest.SQLite(t)
	for want, f := range map[string]issuance.Filter{
		"pki_certificates_newest":        {},
		"pki_certificates_authority":     {Authority: "issuing"},
		"pki_certificates_profile":       {Authority: "issuing", Profile: "tls-server"},
		"pki_certificates_state_failed":  {Authority: "issuing", State: issuance.Failed},
		"pki_certificates_state_revoked": {Authority: "issuing", State: issuance.Revoked},
	} {
		for _, after := range []issuance.Cursor{{}, {CreatedAt: time.UnixMicro(1), Serial: "01"}} {
			q, args := listing(f, after, 50)
			got := plan(t, db, q, args...)
			if !strings.Contains(got, "INDEX "+want+" ") && !strings.HasSuffix(got, "INDEX "+want) || strings.Contains(got, "TEMP B-TREE") {
				t.Errorf("%+v after %v: %s, want %s", f, after, got, want)
			}
		}
	}
}

// So does what a bulk revocation hits, where its selection names few.
func TestASelectionForRevocationIsFoundByAnIndex(t *testing.T) {
	t.Parallel()
	db := storagetest.SQLite(t)
	for want, s := range map[string]revocation.Selection{
		"pki_certificates_key":           {KeySHA256: "ab"},
		"pki_certificates_profile":       {Profile: "tls-client"},
		"inventory_certificates_owner":   {Owner: "Payments"},
		"inventory_certificates_lineage": {Lineage: "1"},
	} {
		where, args := selected(s, time.UnixMicro(1))
		if got := plan(t, db, `SELECT COUNT(*) FROM pki_certificates c WHERE `+where, args...); !strings.Contains(got, want) || strings.Contains(got, "SCAN c") {
			t.Errorf("%+v: %s, want %s", s, got, want)
		}
	}
}
