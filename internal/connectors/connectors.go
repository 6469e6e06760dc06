// Package connectors lists the connectors that this program has.
package connectors

import (
	"fmt"

	"chatelaine.dev/internal/connector"
	"chatelaine.dev/internal/connectors/azurekeyvault"
	"chatelaine.dev/internal/connectors/files"
	"chatelaine.dev/internal/fault"
)

// All returns every connector, in the order in which people are shown them.
func All() []connector.Definition {
	return []connector.Definition{
		azurekeyvault.Definition(),
		files.Definition(),
	}
}

// Validate is the start-up check: every definition is whole, and no name is taken twice.
func Validate() error {
	seen := map[string]bool{}
	for _, d := range All() {
		if err := d.Validate(); err != nil {
			return err
		}
		if seen[d.Name] {
			return fmt.Errorf("two connectors are named %q", d.Name)
		}
		seen[d.Name] = true
	}
	return nil
}

// Find returns the connector of a name, or fault.NotFound.
func Find(name string) (connector.Definition, error) {
	for _, d := range All() {
		if d.Name == name {
			return d, nil
		}
	}
	return connector.Definition{}, fault.New(fault.NotFound, "ConnectorNotFound", "there is no connector %q", name)
}
