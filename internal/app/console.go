package app

import (
	"context"
	"net/url"
	"strings"

	"chatelaine.dev/internal/access"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/connectors"
	"chatelaine.dev/internal/event"
	acmeDoor "chatelaine.dev/internal/serve/acme"
	"chatelaine.dev/internal/serve/console"
	consoleDoors "chatelaine.dev/internal/serve/console/doors"
	estDoor "chatelaine.dev/internal/serve/est"
	scepDoor "chatelaine.dev/internal/serve/scep"
)

// consoleDeps are the services behind the console's pages.
func (a *App) consoleDeps(d *doors) (console.Deps, error) {
	own := d.url
	port := ""
	if u, err := url.Parse(own); err == nil && u.Port() != "" {
		port = ":" + u.Port()
	}
	forms, err := connectorForms(connectors.All())
	if err != nil {
		return console.Deps{}, err
	}
	return console.Deps{
		Connections: a.Connections, Connectors: forms, Lineages: a.Lineages, Deployments: a.Deployments, Requests: a.Requests,
		Authorities: a.Authorities, Catalog: a.Profiles, Audits: a.Reviews, Profiles: a.Profiles.All, Renewals: a.Renewal, Discovery: a.Discovery,
		Sessions: a.sessions, Inventory: a.Inventory, Vaults: a.Vaults,
		Shelves: console.Shelves{Keys: a.Keys, Secrets: a.Secrets, Certificates: a.Certificates},
		Audit:   consoleAudit{a.Audit()}, Subscriptions: a.Subscriptions,
		Events: event.Reader{Store: a.events.Store, Guard: a.Directory},
		Doors: &consoleDoors.Area{
			Profiles: a.Profiles, Passcodes: a.Enrolment.Passcodes, Requests: a.Requests,
			Addresses: d.addresses,
		},
		ACME: a.ACME, ACMEURL: func(profile string) string { return own + acmeDoor.Prefix + profile + "/directory" },
		VaultURL: func(vault string) string { return "https://" + vault + "." + a.cfg.Domain + port },
		Now:      a.now, Log: a.log,
	}, nil
}

// addresses are where the doors of a profile are, once all listeners are open.
func (d *doors) addresses(profile string) consoleDoors.Addresses {
	at := consoleDoors.Addresses{
		ACME: d.url + acmeDoor.Prefix + profile + "/directory", EST: d.url + estDoor.Prefix + profile, SCEPTLS: d.url + scepDoor.Prefix + profile,
	}
	if d.ready.Load() && d.estURL != "" { // they are set before it is ready
		at.ESTMutual = d.estURL + estDoor.Prefix + profile
	}
	if d.ready.Load() && d.statusURL != "" {
		at.SCEP = d.statusURL + scepDoor.Prefix + profile
	}
	return at
}

// connectorForms is what the console's forms ask for, by the connectors' definitions.
func connectorForms(defs []connector.Definition) ([]console.Connector, error) {
	var forms []console.Connector
	for _, d := range defs {
		f := console.Connector{Name: d.Name, Title: d.Title, Summary: firstParagraph(d.Readme)}
		for _, k := range d.Kinds() {
			f.Kinds = append(f.Kinds, string(k))
		}
		var err error
		if f.Fields, err = formFields(d.Config); err != nil {
			return nil, err
		}
		if d.Place != nil {
			if f.Place, err = formFields(d.Place); err != nil {
				return nil, err
			}
		}
		forms = append(forms, f)
	}
	return forms, nil
}

func formFields(config any) ([]console.ConnectorField, error) {
	schema, err := connector.SchemaOf(config)
	if err != nil {
		return nil, err
	}
	var fields []console.ConnectorField
	for _, f := range schema {
		fields = append(fields, console.ConnectorField{Name: f.Name, Help: f.Help, Type: string(f.Type), Required: f.Required, Options: f.Options})
	}
	return fields, nil
}

// firstParagraph is the first paragraph of a Markdown text that is no heading.
func firstParagraph(text string) string {
	for p := range strings.SplitSeq(text, "\n\n") {
		if p = strings.TrimSpace(p); p != "" && !strings.HasPrefix(p, "#") {
			return strings.Join(strings.Fields(p), " ")
		}
	}
	return ""
}

// consoleAudit verifies against the checkpoint in the data folder, whoever asks.
type consoleAudit struct{ AuditReader }

// Verify implements console.AuditReader.
func (r consoleAudit) Verify(ctx context.Context, c access.Caller, _ [][]byte) (audit.Report, error) {
	return r.AuditReader.Verify(ctx, c)
}
