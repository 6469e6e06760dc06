package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

const maxDepth = 32

// strict checks that body is one JSON value in UTF-8, without duplicate names and not
// deeper than maxDepth.
func strict(body []byte) error {
	if !utf8.Valid(body) {
		return errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := value(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}

func value(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return plain(err)
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	if depth++; depth > maxDepth {
		return fmt.Errorf("it is nested deeper than %d", maxDepth)
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			t, err := d.Token()
			if err != nil {
				return plain(err)
			}
			name := t.(string)
			if seen[name] {
				return fmt.Errorf("the name %.40q is there twice", name)
			}
			seen[name] = true
		}
		if err := value(d, depth); err != nil {
			return err
		}
	}
	_, err = d.Token() // the closing bracket
	return plain(err)
}

// plain says what is wrong without repeating what was sent.
func plain(err error) error {
	var s *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &s):
		return fmt.Errorf("unexpected text at byte %d", s.Offset)
	default:
		return errors.New("it ends too early")
	}
}

// shape names the field of the wrong type, never its value.
func shape(err error) string {
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		return fmt.Sprintf("%s must be a %s, not a %s", t.Field, t.Type, t.Value)
	}
	return "a value is not of the form that its field wants"
}
