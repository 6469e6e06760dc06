package issuance

import (
	"crypto/rand"
	"testing"

	"pgregory.net/rapid"
)

func TestSerialsAreLongPositiveAndDifferent(t *testing.T) {
	seen := map[string]bool{}
	var or, and [serialSize]byte
	for i := range and {
		and[i] = 0xff
	}
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
		for i, b := range n.Bytes() {
			or[i], and[i] = or[i]|b, and[i]&b
		}
	}
	if or[0] != 0x7f || and[0] != 0x40 {
		t.Errorf("first byte: %08b is never set, %08b always", ^or[0], and[0])
	}
	for i := 1; i < serialSize; i++ {
		if or[i] != 0xff || and[i] != 0 {
			t.Errorf("byte %d: %08b is never set, %08b always", i, ^or[i], and[i])
		}
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
