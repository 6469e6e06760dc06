package api

import (
	"encoding/json"
	"net/http"
	"path"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"chatelaine.dev/internal/pki/profile"
	"chatelaine.dev/internal/serve/web"
)

func description(version string) huma.Config {
	c := huma.DefaultConfig("Chatelaine", version)
	// The document has its own door, and answers get no $schema.
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", "", nil
	c.Info.Description = "The control plane: discover, judge, renew, deploy and revoke certificates; manage vaults; read the audit trail. " +
		"Every operation needs a bearer token of this server's token endpoint (client credentials). Lists come in pages: send next as the parameter after. " +
		"x-action and x-scope of an operation say what a role must allow, and where."
	schemas := huma.NewMapRegistry("#/components/schemas/", schemaName)
	schemas.RegisterTypeAlias(reflect.TypeFor[profile.Duration](), reflect.TypeFor[string]())
	c.Components.Schemas = schemas
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"bearer": {Type: "http", Scheme: "bearer", BearerFormat: "JWT"}}
	c.Security = []map[string][]string{{"bearer": {}}}
	c.RejectUnknownQueryParameters = true
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}
	c.Formats = map[string]huma.Format{"application/json": format, "json": format}
	c.Transformers = []huma.Transformer{refused}
	return c
}

// schemaName names a type in the document. Services name their types within their own
// package (inventory.Certificate, lineage.Certificate), so the package goes before the name.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Name() == "" {
		return huma.DefaultSchemaNamer(t, hint)
	}
	if item, ok := strings.CutPrefix(t.Name(), "items["); ok {
		dot := strings.LastIndexByte(item, '.')
		return qualified(item[:dot], strings.TrimSuffix(item[dot+1:], "]")) + "List"
	}
	return qualified(t.PkgPath(), t.Name())
}

func qualified(pkg, name string) string {
	pkg, name = path.Base(pkg), strings.ToUpper(name[:1])+name[1:]
	if pkg == "api" {
		return strings.TrimSuffix(name, "Model")
	}
	if strings.HasPrefix(strings.ToLower(name), pkg) {
		return name
	}
	return strings.ToUpper(pkg[:1]) + pkg[1:] + name
}

// document answers with the OpenAPI document, the only thing that needs no token.
func document(o *huma.OpenAPI) http.Handler {
	for name := range o.Components.Schemas.Map() {
		if strings.HasPrefix(name, "V2") { // huma's own error, which never leaves: see refused
			delete(o.Components.Schemas.Map(), name)
		}
	}
	b, err := json.Marshal(o)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err != nil {
			web.Problem(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(b) // a client that is gone needs no answer
	})
}
