package access

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestSecretDoesNotPrint(t *testing.T) {
	s := NewSecret("canary")
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
		fmt.Fprintf(&out, verb+"\n", s, &s)
		fmt.Fprintf(&out, verb+"\n", struct{ S Secret }{s}, []Secret{s})
	}
	b, err := json.Marshal(map[string]any{"a": s, "b": &s, "c": []Secret{s}})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "s", s, "in", struct{ S Secret }{s})
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "s", s, "p", &s)

	for _, form := range []string{"canary", fmt.Sprintf("%x", "canary"), fmt.Sprintf("%X", "canary")} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%q is in %s", form, out.String())
		}
	}
}

func TestGeneratedSecretsDiffer(t *testing.T) {
	a, b := Generate("chs_"), Generate("chs_")
	if a == b || a.Digest() == b.Digest() || len(a.Reveal()) != len("chs_")+43 {
		t.Errorf("secrets of %d bytes", len(a.Reveal()))
	}
}
