package connector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"

	"chatelaine.dev/internal/fault"
)

// MaxSettings bounds the settings of one connection or place, in bytes.
const MaxSettings = 64 << 10

// Settings are the values of a configuration or place as one JSON object. They may hold
// secrets, so they do not print; to show them, Redact them first.
type Settings []byte

// String hides the content.
func (Settings) String() string { return hidden }

// GoString hides the content.
func (Settings) GoString() string { return hidden }

// Format hides the content from every verb.
func (Settings) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the content.
func (Settings) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON refuses: Redact gives what may be shown.
func (Settings) MarshalJSON() ([]byte, error) { return nil, errHidden }

// UnmarshalJSON keeps the object as it came.
func (s *Settings) UnmarshalJSON(b []byte) error {
	*s = append((*s)[:0], b...)
	return nil
}

// Validator is a configuration or place that checks more than its tags can say. Its
// errors name the setting and say what to write instead.
type Validator interface{ Validate() error }

// Decode reads settings into the struct C and validates them: no unknown name, no missing
// required value, only listed options, then C's own Validate. Errors are fault.Invalid
// and never repeat a value.
func Decode[C any](s Settings) (C, error) {
	var c C
	err := decodeInto(s, &c)
	return c, err
}

// Validate decodes settings as the given configuration or place struct would be.
func Validate(config any, s Settings) error {
	return decodeInto(s, reflect.New(reflect.TypeOf(config)).Interface())
}

func decodeInto(s Settings, p any) error {
	schema, err := SchemaOf(reflect.ValueOf(p).Elem().Interface())
	if err != nil {
		return err
	}
	if err := checkNames(schema, s); err != nil {
		return err
	}
	if err := json.Unmarshal(s, p); err != nil {
		var t *json.UnmarshalTypeError
		if errors.As(err, &t) && t.Field != "" {
			return invalid("setting %q: want %s", t.Field, typeOf(schema, t.Field))
		}
		return invalid("the settings are not readable")
	}
	if err := schema.check(reflect.ValueOf(p).Elem()); err != nil {
		return err
	}
	if v, ok := p.(Validator); ok {
		if err := v.Validate(); err != nil {
			if fault.Of(err).Kind == fault.Internal {
				return invalid("%s", err.Error())
			}
			return err
		}
	}
	return nil
}

// checkNames refuses unknown and doubled names. encoding/json would match names in any
// case and let the last one win, which lets two readers of one document disagree.
func checkNames(schema Schema, s Settings) error {
	if len(s) > MaxSettings {
		return invalid("the settings are larger than %d bytes", MaxSettings)
	}
	seen := map[string]bool{}
	d := json.NewDecoder(bytes.NewReader(s))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return invalid("the settings are not a JSON object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return invalid("the settings are not a JSON object")
		}
		name := t.(string)
		if !slices.ContainsFunc(schema, func(f Field) bool { return f.Name == name }) {
			return invalid("there is no setting %q", name)
		}
		if seen[name] {
			return invalid("setting %q is there twice", name)
		}
		seen[name] = true
		var skip json.RawMessage
		if err := d.Decode(&skip); err != nil {
			return invalid("setting %q is not readable", name)
		}
	}
	if _, err := d.Token(); err != nil {
		return invalid("the settings are not a JSON object")
	}
	if _, err := d.Token(); err != io.EOF {
		return invalid("something follows the settings")
	}
	return nil
}

func (s Schema) check(v reflect.Value) error {
	for _, f := range s {
		field := v.Field(f.index)
		if f.Required && (field.IsZero() || f.Type == List && field.Len() == 0) {
			return invalid("setting %q is required: %s", f.Name, f.Help)
		}
		if f.Options != nil && !field.IsZero() && !slices.Contains(f.Options, field.String()) {
			return invalid("setting %q: want one of %v", f.Name, f.Options)
		}
	}
	return nil
}

func typeOf(s Schema, name string) FieldType {
	for _, f := range s {
		if f.Name == name {
			return f.Type
		}
	}
	return "another type"
}

// Redact returns the settings without their secrets, and the names of the secrets that
// are set. config is the definition's Config or Place.
func Redact(config any, s Settings) (shown map[string]any, set []string, err error) {
	schema, err := SchemaOf(config)
	if err != nil {
		return nil, nil, err
	}
	var all map[string]any
	if err := json.Unmarshal(s, &all); err != nil {
		return nil, nil, errors.New("settings are not a JSON object")
	}
	shown = map[string]any{}
	for _, f := range schema {
		v, there := all[f.Name]
		switch {
		case !there:
		case f.Type == Hidden:
			set = append(set, f.Name)
		default:
			shown[f.Name] = v
		}
	}
	return shown, set, nil
}

// Merge lays changed settings over kept ones: a secret that the change does not name
// stays as it was, everything else is as in the change. A form can so be saved without
// knowing the secrets. When the change moves an anchor, such as the URL, the kept secrets
// are refused: else whoever may edit could have them sent to a host of their own.
func Merge(config any, kept, change Settings) (Settings, error) {
	schema, err := SchemaOf(config)
	if err != nil {
		return nil, err
	}
	if err := checkNames(schema, change); err != nil {
		return nil, err
	}
	var before, after map[string]json.RawMessage
	if err := json.Unmarshal(kept, &before); err != nil {
		return nil, errors.New("kept settings are not a JSON object")
	}
	if err := json.Unmarshal(change, &after); err != nil {
		return nil, invalid("the settings are not readable")
	}
	moved := ""
	for _, f := range schema {
		if f.Anchor && string(compact(before[f.Name])) != string(compact(after[f.Name])) {
			moved = f.Name
		}
	}
	for _, f := range schema {
		old, had := before[f.Name]
		if _, named := after[f.Name]; !had || named || f.Type != Hidden {
			continue
		}
		if moved != "" {
			return nil, invalid("setting %q changes, so %q must be given again", moved, f.Name)
		}
		after[f.Name] = old
	}
	return json.Marshal(after)
}

// compact is the one spelling of a JSON value: strings may be escaped in many ways.
func compact(v json.RawMessage) []byte {
	var x any
	if json.Unmarshal(v, &x) != nil {
		return nil
	}
	b, err := json.Marshal(x)
	if err != nil {
		return nil
	}
	return b
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, "InvalidSettings", format, args...)
}
