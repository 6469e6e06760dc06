package resources

import (
	"context"
	"maps"
	"slices"
	"strings"

	"chatelaine.dev/internal/serve/arm/wire"
	"chatelaine.dev/internal/vault/settings"
)

// groupModel is a resource group. Here a group is a word that vaults are marked with, so
// every name is one; the list has those that are in use.
type groupModel struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Type       string            `json:"type"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties provisioned       `json:"properties"`
}

type provisioned struct {
	State string `json:"provisioningState"`
}

func groupOf(q *wire.Request, name, location string) groupModel {
	return groupModel{
		ID: q.Root() + "/resourceGroups/" + name, Name: name, Type: "Microsoft.Resources/resourceGroups", Location: location,
		Tags: map[string]string{}, Properties: provisioned{"Succeeded"},
	}
}

func (d Deps) groups(ctx context.Context, q *wire.Request) (wire.Response, error) {
	found, err := d.Vaults.Groups(ctx, q.Caller)
	if err != nil {
		return wire.Response{}, err
	}
	list := make([]groupModel, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		list = append(list, groupOf(q, name, found[name]))
	}
	return wire.Response{Body: wire.List{Value: list}}, nil
}

// group answers for a group, and for making one: there is nothing to make.
func (d Deps) group(ctx context.Context, q *wire.Request) (wire.Response, error) {
	name := q.Params["group"]
	if len(name) > 90 || strings.HasSuffix(name, ".") || strings.ContainsFunc(name, notInName) {
		return wire.Response{}, wire.Unsupported("The resource group name %.90q is not valid: want at most 90 letters, digits, dots, hyphens, underscores and parentheses, no dot last.", name)
	}
	found, err := d.Vaults.Groups(ctx, q.Caller)
	if err != nil {
		return wire.Response{}, err
	}
	location, ok := found[strings.ToLower(name)]
	if !ok {
		location = settings.Place
	}
	return wire.Response{Body: groupOf(q, name, location)}, nil
}

func notInName(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-()", c)
}
