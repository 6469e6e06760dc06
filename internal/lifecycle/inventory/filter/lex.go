package filter

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind int

const (
	end tokenKind = iota
	word
	quoted
	operator
	open
	closing
)

type token struct {
	kind   tokenKind
	text   string
	column int
}

func (t token) String() string {
	switch t.kind {
	case end:
		return "the end"
	case quoted:
		return fmt.Sprintf("%q", t.text)
	}
	return "'" + t.text + "'"
}

// lex splits the text. Columns count characters.
func lex(s string) ([]token, error) {
	if len(s) > MaxLength {
		return nil, &Error{1, fmt.Sprintf("%d bytes are too long; %d is the most", len(s), MaxLength)}
	}
	if !utf8.ValidString(s) {
		return nil, &Error{1, "not UTF-8"}
	}
	rs := []rune(s)
	for i, r := range rs {
		if unicode.IsControl(r) && !unicode.IsSpace(r) {
			return nil, &Error{i + 1, "a control character, which no text of the inventory contains"}
		}
	}
	var ts []token
	for i := 0; i < len(rs); {
		start := i
		switch r := rs[i]; {
		case unicode.IsSpace(r):
			i++
		case r == '(' || r == ')':
			k := open
			if r == ')' {
				k = closing
			}
			ts = append(ts, token{k, string(r), start + 1})
			i++
		case r == '"' || r == '\'':
			text, n, ok := unquote(rs[i:])
			if !ok {
				return nil, &Error{start + 1, "this quote is never closed"}
			}
			ts = append(ts, token{quoted, text, start + 1})
			i += n
		case strings.ContainsRune("=!<>~", r):
			i++
			if i < len(rs) && rs[i] == '=' && r != '~' && r != '=' {
				i++
			}
			op := string(rs[start:i])
			if op == "!" {
				return nil, &Error{start + 1, "'!' alone means nothing; write != or not"}
			}
			ts = append(ts, token{operator, op, start + 1})
		default:
			for i < len(rs) && !unicode.IsSpace(rs[i]) && !strings.ContainsRune("()=!<>~\"'", rs[i]) {
				i++
			}
			ts = append(ts, token{word, string(rs[start:i]), start + 1})
		}
	}
	return append(ts, token{end, "", len(rs) + 1}), nil
}

// unquote reads a quoted text and says how many characters it took.
func unquote(rs []rune) (text string, n int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(rs); i++ {
		switch rs[i] {
		case rs[0]:
			return b.String(), i + 1, true
		case '\\':
			if i++; i < len(rs) {
				b.WriteRune(rs[i])
			}
		default:
			b.WriteRune(rs[i])
		}
	}
	return "", 0, false
}
