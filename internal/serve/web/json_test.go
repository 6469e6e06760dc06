package web_test

import (
	"strings"
	"testing"

	"chatelaine.dev/internal/serve/web"
)

func TestJSONThatTwoParsersCouldReadInTwoWaysIsRefused(t *testing.T) {
	for body, want := range map[string]string{
		`{"a":[1,"b",null,true]}`: "", ` 1 `: "", "[]\n": "",
		strings.Repeat("[", 32) + strings.Repeat("]", 32): "",
		strings.Repeat("[", 33) + strings.Repeat("]", 33): "deeper than 32",
		``:                        "ends too early",
		`   `:                     "ends too early",
		`{"a":1`:                  "ends too early",
		`{"secret":1,"secret":2}`: "twice",
		`[{"a":{"b":1,"b":2}}]`:   "twice",
		`{} {}`:                   "more follows after byte 2",
		`1 2`:                     "more follows",
		`{}x`:                     "follows",
		`{"a":secret}`:            "unexpected text at byte 5",
		"\"secret\xff\"":          "UTF-8",
		"\ufeff{}":                "unexpected text at byte 0",
	} {
		err := web.CheckJSON([]byte(body))
		if (err == nil) != (want == "") || (err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret"))) {
			t.Errorf("%.60q: %v, want %q", body, err, want)
		}
	}
}
