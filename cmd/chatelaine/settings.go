package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"chatelaine.dev/cmd/chatelaine/terminal"
	"chatelaine.dev/internal/client"
)

// connector is a kind of system that connections can be made to.
type connector struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Kinds    []string `json:"kinds"`
	Settings *schema  `json:"settings"`
	Place    *schema  `json:"place"`
}

// schema is the JSON Schema of settings, as far as connectors use it.
type schema struct {
	Properties map[string]property `json:"properties"`
	Required   []string            `json:"required"`
}

type property struct {
	Type        string   `json:"type"`
	Description string   `json:"description"`
	Enum        []string `json:"enum"`
	WriteOnly   bool     `json:"writeOnly"`
}

// setting is one line of a schema, for people.
type setting struct {
	name     string
	required bool
	property
}

func (s *schema) rows() []setting {
	var rows []setting
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		rows = append(rows, setting{name, slices.Contains(s.Required, name), s.Properties[name]})
	}
	slices.SortStableFunc(rows, func(a, b setting) int {
		switch {
		case a.required == b.required:
			return 0
		case a.required:
			return -1
		}
		return 1
	})
	return rows
}

func settingColumns(what string) []terminal.Column[setting] {
	return []terminal.Column[setting]{
		{Name: what, Of: func(s setting) string { return s.name }},
		{Name: "type", Of: func(s setting) string {
			if s.WriteOnly {
				return "secret"
			}
			return s.Type
		}},
		{Name: "required", Of: func(s setting) string { return yes(s.required) }},
		{Name: "what it is", Of: func(s setting) string {
			if len(s.Enum) > 0 {
				return s.Description + " One of: " + strings.Join(s.Enum, ", ") + "."
			}
			return s.Description
		}},
	}
}

// values reads SETTING=VALUE by the types of the schema. A list is a JSON array, or one
// SETTING=VALUE for each of its items.
func (s *schema) values(assignments []string) (map[string]any, error) {
	values := map[string]any{}
	for _, a := range assignments {
		name, text, ok := strings.Cut(a, "=")
		p, known := s.Properties[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("%q: want SETTING=VALUE", a)
		case !known:
			return nil, fmt.Errorf("there is no setting %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(s.Properties)), ", "))
		}
		if err := p.assign(values, name, text); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func (p property) assign(values map[string]any, name, text string) (err error) {
	switch p.Type {
	case "integer":
		values[name], err = strconv.ParseInt(text, 10, 64)
	case "boolean":
		values[name], err = strconv.ParseBool(text)
	case "array":
		var items []any
		if strings.HasPrefix(text, "[") {
			err = json.Unmarshal([]byte(text), &items)
		} else {
			items = []any{text}
		}
		before, _ := values[name].([]any)
		values[name] = append(before, items...)
	default:
		values[name] = text
	}
	if err != nil {
		return fmt.Errorf("setting %q: want %s", name, p.Type)
	}
	return nil
}

// settingFlags give the settings of a connection.
type settingFlags struct {
	file           string
	set, env, read []string
	in             io.Reader
}

func (f *settingFlags) define(c *cobra.Command) {
	f.in = c.InOrStdin()
	c.Flags().StringVar(&f.file, "settings", "", "JSON file with settings; - for standard input")
	c.Flags().StringArrayVar(&f.set, "set", nil, "SETTING=VALUE; may be repeated, for a list too")
	c.Flags().StringArrayVar(&f.env, "set-env", nil, "SETTING=VARIABLE: from the environment, as secrets should be")
	c.Flags().StringArrayVar(&f.read, "set-file", nil, "SETTING=FILE: from a file, without its last line end")
}

// settings are all that was given. A secret is not taken from the command line, which
// every user of the machine can read.
func (f *settingFlags) settings(s *schema) (map[string]any, error) {
	all := map[string]any{}
	if f.file != "" {
		b, err := readInput(f.in, f.file)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, &all); err != nil {
			return nil, fmt.Errorf("%s: %w", f.file, err)
		}
	}
	for _, a := range f.set {
		if name, _, _ := strings.Cut(a, "="); s.Properties[name].WriteOnly {
			return nil, fmt.Errorf("setting %q is a secret, and other users of this machine can read command lines; use --set-env %s=VARIABLE or --set-file %s=FILE", name, name, name)
		}
	}
	assignments := slices.Clone(f.set)
	for _, a := range f.env {
		name, variable, _ := strings.Cut(a, "=")
		value, ok := os.LookupEnv(variable)
		if !ok {
			return nil, fmt.Errorf("--set-env %s: the variable %q is not set", name, variable)
		}
		assignments = append(assignments, name+"="+value)
	}
	for _, a := range f.read {
		name, file, _ := strings.Cut(a, "=")
		b, err := readInput(f.in, file)
		if err != nil {
			return nil, fmt.Errorf("--set-file %s: %w", name, err)
		}
		assignments = append(assignments, name+"="+strings.TrimRight(string(b), "\r\n"))
	}
	values, err := s.values(assignments)
	if err != nil {
		return nil, err
	}
	maps.Copy(all, values)
	return all, nil
}

// findConnector finds a connector by its name.
func findConnector(ctx context.Context, r remote, name string) (client.Object[connector], error) {
	var names []string
	for o, err := range client.All[connector](ctx, r.Client, "GET /connectors", nil) {
		if err != nil {
			return o, err
		}
		if o.Value.Name == name {
			return o, nil
		}
		names = append(names, o.Value.Name)
	}
	return client.Object[connector]{}, fmt.Errorf("there is no connector %q; there are %s", name, strings.Join(names, ", "))
}

// placeSchema is what a place on a connection may say.
func placeSchema(ctx context.Context, r remote, id string) (*schema, error) {
	c, err := get[connection](ctx, r, at("GET /connections/%s", id))
	if err != nil {
		return nil, err
	}
	kind, err := findConnector(ctx, r, c.Value.Connector)
	if err != nil {
		return nil, err
	}
	if kind.Value.Place == nil {
		return nil, fmt.Errorf("connection %q is no target: nothing can be installed there", c.Value.Name)
	}
	return kind.Value.Place, nil
}

// settingLines are settings for people, in the order of their names.
func settingLines(settings map[string]any) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		value, err := json.Marshal(settings[name])
		if err != nil {
			value = []byte("?")
		}
		lines = append(lines, name+" = "+string(value))
	}
	return strings.Join(lines, "\n")
}
