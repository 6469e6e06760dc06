package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"chatelaine.dev/internal/serve/web"
)

// readable reports whether path and query are text: UTF-8 without control characters, but
// a filter may have lines. No name has them, and not every database takes them.
func readable(u *url.URL) bool {
	if !isText(u.Path) {
		return false
	}
	query, err := url.ParseQuery(u.RawQuery)
	for name, values := range query {
		if !isText(name + lines().Replace(strings.Join(values, ""))) {
			return false
		}
	}
	return err == nil
}

func lines() *strings.Replacer { return strings.NewReplacer("\n", "", "\r", "", "\t", "") }

func isText(s string) bool { return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0 }

var errNUL = errors.New("a text holds the character U+0000")

// unmarshal is json.Unmarshal for bodies that are JSON to every parser, and whose texts hold
// no U+0000, which PostgreSQL does not store.
func unmarshal(b []byte, v any) error {
	if err := web.CheckJSON(b); err != nil {
		return err
	}
	for rest := b; ; {
		i := bytes.IndexByte(rest, '\\')
		if i < 0 || i+2 > len(rest) {
			return withoutValue(json.Unmarshal(b, v))
		}
		if bytes.HasPrefix(rest[i+1:], []byte("u0000")) {
			return errNUL
		}
		rest = rest[i+2:] // a backslash stands in texts alone, and one after another is no escape
	}
}

// withoutValue is an error of json.Unmarshal that does not repeat what was sent: it may be
// a secret, or a number of a megabyte.
func withoutValue(err error) error {
	var t *json.UnmarshalTypeError
	switch {
	case !errors.As(err, &t):
		return err
	case t.Field == "":
		return errors.New("a value is not of the form that its field wants")
	default:
		return fmt.Errorf("%s must be a %s", t.Field, t.Type)
	}
}
