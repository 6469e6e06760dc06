package inventorydb

import (
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/lifecycle/inventory"
	"chatelaine.dev/internal/lifecycle/inventory/filter"
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

// What people look at every day is read in its order: a page does not sort a million rows.
func TestAPageOfTheInventoryReadsNoMoreThanThePage(t *testing.T) {
	t.Parallel()
	db := storagetest.SQLite(t)
	for text, want := range map[string]string{
		"":                                         "inventory_certificates_not_after",
		"expires < 30d and stage != managed":       "inventory_certificates_not_after",
		"status = expiring":                        "inventory_certificates_not_after",
		"status = expiring and state = present":    "inventory_certificates_not_after",
		"status = revoked":                         "inventory_certificates_revoked",
		"owner = \"Payments\"":                     "inventory_certificates_owner",
		"owner = \"Payments\" and expires < 30d":   "inventory_certificates_owner",
		"owner = \"Payments\" and stage = managed": "inventory_certificates_owner",
	} {
		f, err := filter.Parse(text, time.UnixMicro(1))
		if err != nil {
			t.Fatal(err)
		}
		q, args, err := listing(inventory.Query{Filter: f, Sort: filter.Expires, After: &inventory.Position{Number: 1, SHA256: "ab"}, Limit: 50})
		if err != nil {
			t.Fatal(err)
		}
		if got := plan(t, db, q, args...); !strings.Contains(got, want) || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// What the first screen counts is in an index: a count does not read the table.
func TestCountsOfTheFirstScreenReadAnIndexAlone(t *testing.T) {
	t.Parallel()
	db := storagetest.SQLite(t)
	for _, text := range []string{
		"", "status = expiring", "(status = expiring or status = expired) and stage != managed and state = present", "not ca and lastseen > -8d",
		`not ca and lastseen > -8d and owner != ""`, "not ca and lastseen > -8d and trust = public and lifetime > 100d and status != expired",
		"expires = 2026-12-01 and not ca and lastseen > -8d and stage = managed",
	} {
		f, err := filter.Parse(text, time.UnixMicro(1))
		if err != nil {
			t.Fatal(err)
		}
		b := &builder{}
		where, err := b.node(f)
		if err != nil {
			t.Fatal(err)
		}
		got := plan(t, db, `SELECT COUNT(*) FROM inventory_certificates c WHERE `+where, b.args...)
		if !strings.Contains(got, "c USING COVERING INDEX") {
			t.Errorf("%s: %s", text, got)
		}
	}
}
