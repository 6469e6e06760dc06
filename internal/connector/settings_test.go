package connector

import (
	"context"
	"errors"
	"strings"
	"testing"

	"chatelaine.dev/internal/fault"
	"github.com/google/go-cmp/cmp"
)

type sample struct {
	URL      string   `json:"url" help:"Where it is." required:"true" anchor:"true"`
	Mode     string   `json:"mode" help:"How." options:"fast,safe"`
	Password Secret   `json:"password" help:"The password." required:"true"`
	Port     int      `json:"port" help:"The port."`
	Strict   bool     `json:"strict" help:"Whether to be strict."`
	Command  []string `json:"command" help:"What to run."`
}

func (s *sample) Validate() error {
	if s.Port < 0 {
		return errors.New(`setting "port" is negative`)
	}
	return nil
}

func TestDecodeTakesEveryType(t *testing.T) {
	c, err := Decode[sample](Settings(`{"url":"https://a","mode":"safe","password":"p","port":7,"strict":true,"command":["x","-y"]}`))
	if err != nil {
		t.Fatal(err)
	}

	want := sample{"https://a", "safe", NewSecret([]byte("p")), 7, true, []string{"x", "-y"}}
	if d := cmp.Diff(want, c); d != "" {
		t.Error(d)
	}
}

func TestDecodeRefusesAndNamesTheSetting(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"missing":        {`{"password":"p"}`, `"url"`},
		"empty":          {`{"url":"","password":"p"}`, `"url"`},
		"null":           {`{"url":null,"password":"p"}`, `"url"`},
		"missing secret": {`{"url":"u"}`, `"password"`},
		"unknown":        {`{"url":"u","password":"p","extra":1}`, `"extra"`},
		"other case":     {`{"URL":"u","password":"p"}`, `"URL"`},
		"twice":          {`{"url":"u","url":"v","password":"p"}`, `"url"`},
		"wrong type":     {`{"url":"u","password":"p","port":"x"}`, `"port"`},
		"wrong option":   {`{"url":"u","password":"p","mode":"slow"}`, `"mode"`},
		"own check":      {`{"url":"u","password":"p","port":-1}`, `"port"`},
		"secret's type":  {`{"url":"u","password":8}`, ``},
		"no object":      {`[]`, `object`},
		"trailing":       {`{"url":"u","password":"p"} {}`, `follows`},
		"cut":            {`{"url":"u","password":"` + canary + ``, ``},
		"large":          {`{"url":"` + strings.Repeat("u", MaxSettings) + `","password":"p"}`, `larger`},
	} {
		_, err := Decode[sample](Settings(test.in))

		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want fault.Invalid with %s", name, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error repeats a value: %v", name, err)
		}
	}
}

func TestRedactShowsNoSecret(t *testing.T) {
	shown, set, err := Redact(sample{}, Settings(`{"url":"u","password":"`+canary+`","port":7}`))
	if err != nil {
		t.Fatal(err)
	}

	if d := cmp.Diff(map[string]any{"url": "u", "port": 7.0}, shown); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"password"}, set); d != "" {
		t.Error(d)
	}
}

func TestMergeKeepsSecretsThatTheChangeDoesNotName(t *testing.T) {
	kept := Settings(`{"url":"u","password":"old","port":7}`)
	for change, want := range map[string]string{
		`{"url":"u","port":8}`:         `{"password":"old","port":8,"url":"u"}`,
		`{"url":"u","password":"new"}`: `{"password":"new","url":"u"}`,
		`{"url":"v","password":"new"}`: `{"password":"new","url":"v"}`,
		`{"url":"\u0075","mode":"a"}`:  `{"mode":"a","password":"old","url":"\u0075"}`,
	} {
		got, err := Merge(sample{}, kept, Settings(change))

		if err != nil || string(got) != want {
			t.Errorf("%s: got %s %v, want %s", change, []byte(got), err, want)
		}
	}
}

func TestMergeRefusesToSendAKeptSecretElsewhere(t *testing.T) {
	_, err := Merge(sample{}, Settings(`{"url":"u","password":"old"}`), Settings(`{"url":"https://thief"}`))

	if !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v, want fault.Invalid", err)
	}
}

func TestSchemaRefusesWhatHasNoForm(t *testing.T) {
	for name, config := range map[string]any{
		"no struct": 7,
		"nil":       nil,
		"nested": struct {
			A struct{} `json:"a" help:"h"`
		}{},
		"no help": struct {
			A string `json:"a"`
		}{},
		"no name": struct {
			A string `help:"h"`
		}{},
		"unexported": struct{ a string }{},
	} {
		if _, err := SchemaOf(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSchemaAsJSONSchema(t *testing.T) {
	s, err := SchemaOf(sample{})
	if err != nil {
		t.Fatal(err)
	}

	j := s.JSON()
	password := j["properties"].(map[string]any)["password"].(map[string]any)
	if password["writeOnly"] != true || j["additionalProperties"] != false {
		t.Errorf("got %v", j)
	}
	if d := cmp.Diff([]string{"url", "password"}, j["required"]); d != "" {
		t.Error(d)
	}
}

type checker struct{ Source }

func (checker) Check(context.Context) error { return nil }

func TestDefinitionOffersWhatHasAConstructor(t *testing.T) {
	d := Definition{Name: "sample", Title: "Sample", Readme: "# Sample", Config: sample{},
		Source: New(func(sample, Env) (Source, error) { return checker{}, nil })}
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Kind{SourceKind}, d.Kinds()); d != "" {
		t.Error(d)
	}

	if _, err := d.Checker(Settings(`{"url":"u"}`), Env{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("made with bad settings: %v", err)
	}
	c, err := d.Checker(Settings(`{"url":"u","password":"p"}`), Env{})
	if err != nil || c.Check(t.Context()) != nil {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestDefinitionMustBeWhole(t *testing.T) {
	whole := func() Definition {
		return Definition{Name: "sample", Title: "Sample", Readme: "# Sample", Config: sample{},
			Source: New(func(sample, Env) (Source, error) { return checker{}, nil })}
	}
	for name, spoil := range map[string]func(*Definition){
		"name":          func(d *Definition) { d.Name = "Sample One" },
		"readme":        func(d *Definition) { d.Readme = "" },
		"nothing":       func(d *Definition) { d.Source = nil },
		"config":        func(d *Definition) { d.Config = nil },
		"place unasked": func(d *Definition) { d.Place = sample{} },
		"secret place": func(d *Definition) {
			d.Place, d.Target = sample{}, New(func(sample, Env) (Target, error) { return nil, nil })
		},
	} {
		d := whole()
		spoil(&d)

		if d.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
