package wire

import (
	"strings"
	"testing"

	"chatelaine.dev/internal/fault"
)

func TestBodiesThatTwoParsersCouldReadInTwoWaysAreRefused(t *testing.T) {
	for body, want := range map[string]string{
		`{"value":"x","value":"y"}`:                   `the name "value" is there twice`,
		`{"value":"x","VALUE":"y"}`:                   `the name "VALUE" is there twice`,
		`{"other":{"a":1,"a":2}}`:                     `the name "a" is there twice`,
		`{"value":"x"} {}`:                            "unexpected text at byte 14",
		`{"value":"x"`:                                "it ends too early",
		"{\"value\":\"secret\xff\"}":                  "it is not UTF-8",
		`{"value":secret}`:                            "unexpected text",
		`{"value":5}`:                                 "value must be a string, not a number",
		`{"attributes":{"exp":"secret"}}`:             "attributes.exp must be a int64, not a string",
		`{"attributes":{"exp":1.5}}`:                  "a value is not of the form that its field wants",
		`{"attributes":{"exp":99999999999999999999}}`: "a value is not of the form that its field wants",
		`[]`: "not a",
		strings.Repeat(`[`, 33) + strings.Repeat(`]`, 33):               "nested deeper than 32",
		`{"a":` + strings.Repeat(`{"a":`, 32) + strings.Repeat("}", 33): "nested deeper than 32",
	} {
		var into struct {
			Value      string      `json:"value"`
			Attributes *Attributes `json:"attributes"`
		}
		err := (&Request{Body: []byte(body)}).Decode(&into)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.60s: %v, want %q", body, err, want)
		}
	}
}

func TestBodiesAreReadInAnyCaseOfTheirNames(t *testing.T) {
	var into struct {
		HSM  *bool             `json:"Hsm"`
		Tags map[string]string `json:"tags"`
	}
	err := (&Request{Body: []byte(`{"hsm":true,"tags":{"[{\"a":"}","A":"b"},"unknown":{"deep":[1]}}`)}).Decode(&into)
	if err != nil || into.HSM == nil || !*into.HSM || into.Tags["A"] != "b" || into.Tags[`[{"a`] != "}" {
		t.Errorf("%+v, %v", into, err)
	}
}

func TestQueriesAreFoundHoweverTheirNamesAreWritten(t *testing.T) {
	for query, want := range map[Query]string{
		"api-version=7.6": "7.6", "api%2Dversion=7.6": "7.6", "a=b&api-version=7%2E6&api-version=x": "7.6",
		"api-version=": "", "": "", "xapi-version=7.6": "", "api-version=%zz": "", "api-version=7.6;x=y": "", "api-version": "",
	} {
		if got := query.Get("api-version"); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}
