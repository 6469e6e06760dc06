package app

import (
	"context"
	"net/url"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/event"
	"chatelaine.dev/internal/serve/console"
)

// consoleDeps are the services behind the console's pages. own is our own address.
func (a *App) consoleDeps(own string) console.Deps {
	port := ""
	if u, err := url.Parse(own); err == nil && u.Port() != "" {
		port = ":" + u.Port()
	}
	return console.Deps{
		Sessions: a.sessions, Inventory: a.Inventory, Vaults: a.Vaults,
		Shelves:  console.Shelves{Keys: a.Keys, Secrets: a.Secrets, Certificates: a.Certificates},
		Audit:    consoleAudit{a.Audit()},
		Events:   event.Reader{Store: a.events.Store, Guard: a.Directory},
		VaultURL: func(vault string) string { return "https://" + vault + "." + a.cfg.Domain + port },
		Now:      a.now, Log: a.log,
	}
}

// consoleAudit verifies against the checkpoint in the data folder, whoever asks.
type consoleAudit struct{ AuditReader }

// Verify implements console.AuditReader.
func (r consoleAudit) Verify(ctx context.Context, c access.Caller, _ [][]byte) (audit.Report, error) {
	return r.AuditReader.Verify(ctx, c)
}
