package canary

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"
)

// forms are the ways in which bytes get into a text or a file. Each returns spellings of
// which one is there whenever the bytes are, whatever stands before them: base64 has three,
// by where its groups begin.
var forms = map[string]func(raw []byte) []string{
	"raw":          func(raw []byte) []string { return []string{string(raw)} },
	"base64":       func(raw []byte) []string { return groups(base64.RawStdEncoding, raw) },
	"base64url":    func(raw []byte) []string { return groups(base64.RawURLEncoding, raw) },
	"hex":          func(raw []byte) []string { return []string{hex.EncodeToString(raw)} },
	"HEX":          func(raw []byte) []string { return []string{strings.ToUpper(hex.EncodeToString(raw))} },
	"JSON":         func(raw []byte) []string { return []string{quoted(raw)} },
	"UTF-16":       func(raw []byte) []string { return []string{wide(raw)} },
	"decimals":     func(raw []byte) []string { return []string{strings.Trim(fmt.Sprint(raw), "[]")} },
	"number":       func(raw []byte) []string { return []string{new(big.Int).SetBytes(raw).String()} },
	"percent sign": func(raw []byte) []string { return []string{url.QueryEscape(string(raw))} },
}

// groups encodes raw as it stands 0, 1 and 2 bytes after the beginning of a group, and
// leaves out the characters that depend on what is before and after it.
func groups(e *base64.Encoding, raw []byte) []string {
	var all []string
	for before := range 3 {
		text := e.EncodeToString(append(make([]byte, before), raw...))
		all = append(all, text[(before*8+5)/6:(before+len(raw))*8/6])
	}
	return all
}

func quoted(raw []byte) string {
	b, err := json.Marshal(string(raw))
	if err != nil {
		panic(err) // a string always encodes
	}
	return strings.Trim(string(b), `"`)
}

func wide(raw []byte) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(string(raw))) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

const (
	shortest = 12 // bytes of a spelling; what is shorter would be found by chance
	enough   = 20 // bytes of a spelling that are looked for, so that one that was cut is found too
	bits     = 22 // of the filter
)

// flock are the canaries: what nobody may ever find. Add all before the first find.
type flock struct {
	count  int
	marks  map[uint64][]mark // by the first eight bytes
	filter []uint64          // what no mark begins with is told apart cheaply
}

type mark struct{ what, form, text string }

func newFlock() *flock {
	return &flock{marks: map[uint64][]mark{}, filter: make([]uint64, 1<<(bits-6))}
}

func slot(head uint64) (word, bit uint64) {
	h := head * 0x9E3779B97F4A7C15 >> (64 - bits)
	return h >> 6, 1 << (h & 63)
}

// add takes one canary in.
func (f *flock) add(what string, raw []byte) {
	f.count++
	for form, spell := range forms {
		for _, text := range spell(raw) {
			if len(text) < shortest {
				continue
			}
			text = text[:min(len(text), enough)]
			head := binary.LittleEndian.Uint64([]byte(text))
			f.marks[head] = append(f.marks[head], mark{what, form, text})
			word, bit := slot(head)
			f.filter[word] |= bit
		}
	}
}

// find returns a line for each place where a canary is.
func (f *flock) find(text []byte) []string {
	var found []string
	if len(text) < 8 {
		return nil
	}
	head := binary.LittleEndian.Uint64(text) // the eight bytes at i
	for i := 0; ; i++ {
		if word, bit := slot(head); f.filter[word]&bit != 0 {
			for _, m := range f.marks[head] {
				if bytes.HasPrefix(text[i:], []byte(m.text)) {
					from, to := max(0, i-60), min(len(text), i+len(m.text)+20)
					found = append(found, fmt.Sprintf("%s, as %s, at byte %d: %.120q", m.what, m.form, i, text[from:to]))
				}
			}
		}
		if i+8 == len(text) {
			return found
		}
		head = head>>8 | uint64(text[i+8])<<56
	}
}

// The search must find what is there, in every form, at every place, cut or whole.
func TestACanaryIsFoundInEveryForm(t *testing.T) {
	secret := []byte("sekret-\"\\é<GYdf2Wq8Zr4tKp1vBn7x")
	other := []byte("HYdf2Wq8Zr4tKp1vBn7x")
	for form, spell := range forms {
		for _, before := range []string{"", "x", "xy", strings.Repeat("z", 1001)} {
			var planted string
			switch form {
			case "base64", "base64url": // inside of what is encoded
				planted = base64.RawStdEncoding.EncodeToString([]byte(before + string(secret) + before))
				if form == "base64url" {
					planted = base64.RawURLEncoding.EncodeToString([]byte(before + string(secret) + before))
				}
			default:
				planted = before + spell(secret)[0] + before
			}
			with, without := newFlock(), newFlock()
			with.add("it", secret)
			without.add("it", other)
			if len(with.find([]byte(planted))) == 0 {
				t.Errorf("%s after %d bytes is not found", form, len(before))
			}
			if found := without.find([]byte(planted)); len(found) > 0 {
				t.Errorf("%s: another is found: %s", form, found)
			}
		}
	}
}
