package config

import (
	"strings"
	"testing"
)

func TestLimitsAreAzuresOrWider(t *testing.T) {
	for _, c := range []struct {
		limits Limits
		refuse string // what the error names; empty when the limits are fine
	}{
		{Limits{}, ""},
		{Limits{SecretBytes: 1 << 20, Tags: 200, BackupVersions: 10_000}, ""},
		{Limits{SecretBytes: 25_600, Tags: 15, BackupVersions: 500}, ""},
		{Limits{SecretBytes: 25_599}, "limits.secretBytes"},
		{Limits{SecretBytes: 1<<20 + 1}, "limits.secretBytes"},
		{Limits{Tags: 14}, "limits.tags"},
		{Limits{Tags: 201}, "limits.tags"},
		{Limits{BackupVersions: 499}, "limits.backupVersions"},
		{Limits{BackupVersions: -1}, "limits.backupVersions"},
		{Limits{BackupVersions: 10_001}, "limits.backupVersions"},
	} {
		cfg := Default()
		cfg.Limits = c.limits

		err := cfg.Check()

		if c.refuse == "" && err != nil || c.refuse != "" && (err == nil || !strings.Contains(err.Error(), c.refuse)) {
			t.Errorf("%+v: %v, want an error about %q", c.limits, err, c.refuse)
		}
	}
}
