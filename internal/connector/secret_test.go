package connector

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "canary-5f1c"

func TestSecretNeverPrints(t *testing.T) {
	type holder struct {
		Open   Secret
		closed Secret
		Raw    Settings
		ptr    *Secret
		m      map[string]Secret
	}
	s := NewSecret([]byte(canary))
	h := holder{s, s, Settings(`{"password":"` + canary + `"}`), &s, map[string]Secret{"a": s}}
	var log bytes.Buffer
	for _, l := range []*slog.Logger{
		slog.New(slog.NewJSONHandler(&log, nil)), slog.New(slog.NewTextHandler(&log, nil)),
	} {
		l.Info("all", "holder", h, "secret", s, "settings", h.Raw)
	}

	var out strings.Builder
	for _, v := range []any{s, &s, h, &h, []Secret{s}, h.Raw, fmt.Errorf("with %v %s %q %x", s, s, s, s)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	all := out.String() + log.String()

	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprint([]byte(canary))} {
		if i := strings.Index(all, form); i >= 0 {
			t.Errorf("printed as %q: …%s…", form, all[max(0, i-60):min(len(all), i+60)])
		}
	}
}

func TestSecretNeverMarshals(t *testing.T) {
	type config struct{ Password Secret }
	c := config{NewSecret([]byte(canary))}

	if b, err := json.Marshal(c); err == nil {
		t.Errorf("JSON: %s", b)
	}
	if b, err := json.Marshal(map[string]any{"s": Settings(`{}`)}); err == nil {
		t.Errorf("JSON of settings: %s", b)
	}
	if b, err := xml.Marshal(c); err == nil {
		t.Errorf("XML: %s", b)
	}
}

func TestSecretRevealsWhatItWasGiven(t *testing.T) {
	var s Secret
	if !s.Empty() || len(s.Reveal()) != 0 {
		t.Error("the zero value is not the empty secret")
	}
	if err := json.Unmarshal([]byte(`"`+canary+`"`), &s); err != nil {
		t.Fatal(err)
	}
	if string(s.Reveal()) != canary || !s.Equal(NewSecret([]byte(canary))) || s.Equal(Secret{}) {
		t.Errorf("revealed %q", s.Reveal())
	}
	if err := json.Unmarshal([]byte(`7`), &s); err == nil {
		t.Error("a number was taken as a secret")
	}
}
