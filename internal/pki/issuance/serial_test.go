package issuance

import (
	"crypto/rand"
	"testing"

	"pgregory.net/rapid"
)

func TestSerialsAreLongPositiveAndDifferent(t *testing.T) {
	seen := map[string]bool{}
	var or, and byte = 0, 0xff
	for range 100_000 {
		n, err := newSerial(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		text := FormatSerial(n)
		if n.Sign() <= 0 || len(text) != 2*serialSize || seen[text] {
			t.Fatalf("serial %s", text)
		}
		seen[text] = true
		b := n.Bytes()
		or, and = or|b[len(b)-1]|b[1], and&b[len(b)-1]&b[1]
	}
	if or != 0xff || and != 0 {
		t.Errorf("bits that never change: %08b, %08b", or, and)
	}
}

func TestSerialsAreReadAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]string{
		"0A:1b:2C": "0a1b2c", "a1b2c": "0a1b2c", "000a1b2c": "0a1b2c", "7": "07",
		"": "", "0": "", "-1": "", "+1": "", "0x12": "", "1_2": "", "g": "", ":": "", " 12": "",
		"11111111111111111111111111111111111111111111111111111111111111111": "",
	} {
		got, err := ParseSerial(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n, err := newSerial(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseSerial(FormatSerial(n)); err != nil || got != FormatSerial(n) {
			t.Fatalf("%s became %s, %v", FormatSerial(n), got, err)
		}
	})
}
