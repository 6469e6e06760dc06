package connector

import (
	"fmt"
	"reflect"
	"strings"
)

// FieldType is how one setting is asked for and checked.
type FieldType string

// The field types, each with the Go type that has it.
const (
	Text    FieldType = "text"    // string
	Hidden  FieldType = "secret"  // Secret
	Number  FieldType = "number"  // int
	Boolean FieldType = "boolean" // bool
	List    FieldType = "list"    // []string, such as the words of a command
)

// Field is one setting of a connector.
type Field struct {
	Name     string // in JSON
	Help     string // one sentence for the form and the documentation
	Type     FieldType
	Required bool
	Options  []string // the only values that are allowed; empty for any
	Anchor   bool     // says where the secrets are sent; when it changes they must be given again

	index int // in the struct
}

// Schema is the settings of a connector in the order of its struct. The console's form,
// the API's schema, the documentation, validation and redaction follow from it.
type Schema []Field

// SchemaOf reads the tags of a configuration struct: `json:"name"` (required),
// `help:"sentence"` (required), `required:"true"`, `options:"a,b"`,
// `anchor:"true"`. Structs are flat.
func SchemaOf(config any) (Schema, error) {
	t := reflect.TypeOf(config)
	if t == nil || t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("configuration is a %v, want a struct", t)
	}
	var s Schema
	for i := range t.NumField() {
		f, err := fieldOf(t.Field(i))
		if err != nil {
			return nil, fmt.Errorf("%v.%s: %w", t, t.Field(i).Name, err)
		}
		f.index = i
		s = append(s, f)
	}
	return s, nil
}

func fieldOf(sf reflect.StructField) (Field, error) {
	f := Field{Help: sf.Tag.Get("help"), Required: sf.Tag.Get("required") == "true", Anchor: sf.Tag.Get("anchor") == "true"}
	f.Name, _, _ = strings.Cut(sf.Tag.Get("json"), ",")
	if !sf.IsExported() || f.Name == "" || f.Name == "-" || f.Help == "" {
		return f, fmt.Errorf("want an exported field with the tags json and help")
	}
	if o := sf.Tag.Get("options"); o != "" {
		f.Options = strings.Split(o, ",")
	}
	switch reflect.Zero(sf.Type).Interface().(type) {
	case string:
		f.Type = Text
	case Secret:
		f.Type = Hidden
	case int:
		f.Type = Number
	case bool:
		f.Type = Boolean
	case []string:
		f.Type = List
	default:
		return f, fmt.Errorf("type %v has no form field: use string, Secret, int, bool or []string", sf.Type)
	}
	if f.Options != nil && f.Type != Text {
		return f, fmt.Errorf("options are for strings")
	}
	return f, nil
}

// JSON is the schema in the words of JSON Schema 2020-12, for the API's document.
func (s Schema) JSON() map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range s {
		p := map[string]any{"description": f.Help}
		switch f.Type {
		case Text:
			p["type"] = "string"
		case Hidden:
			p["type"], p["writeOnly"], p["format"] = "string", true, "password"
		case Number:
			p["type"] = "integer"
		case Boolean:
			p["type"] = "boolean"
		case List:
			p["type"], p["items"] = "array", map[string]any{"type": "string"}
		}
		if f.Options != nil {
			p["enum"] = f.Options
		}
		properties[f.Name] = p
		if f.Required {
			required = append(required, f.Name)
		}
	}
	return map[string]any{
		"type": "object", "additionalProperties": false,
		"properties": properties, "required": required,
	}
}
