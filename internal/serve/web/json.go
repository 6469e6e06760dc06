package web

import (
	"bytes"
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDepth is how deep JSON may be nested.
const maxDepth = 32

// CheckJSON refuses what is not one JSON value by RFC 8259 in UTF-8, has a name twice in an
// object, so that two parsers could read it in two ways, or is nested deeper than 32. The
// error does not repeat what was sent.
func CheckJSON(body []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		if _, err := d.ReadToken(); err != nil {
			return fmt.Errorf("not valid JSON: %w", syntax(err))
		}
		switch depth := d.StackDepth(); {
		case depth > maxDepth:
			return fmt.Errorf("not valid JSON: it is nested deeper than %d", maxDepth)
		case depth == 0:
			if rest := bytes.Trim(body[d.InputOffset():], " \t\r\n"); len(rest) > 0 {
				return fmt.Errorf("not valid JSON: more follows after byte %d", d.InputOffset())
			}
			return nil
		}
	}
}

// syntax says what is wrong without repeating what was sent.
func syntax(err error) error {
	var s *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return errors.New("a name is there twice")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends too early")
	case errors.As(err, &s) && strings.Contains(s.Err.Error(), "UTF-8"):
		return errors.New("it is not UTF-8")
	case errors.As(err, &s):
		return fmt.Errorf("unexpected text at byte %d", s.ByteOffset)
	default:
		return errors.New("it is no text")
	}
}
