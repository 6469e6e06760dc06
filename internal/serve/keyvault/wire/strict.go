package wire

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"strings"
)

const maxDepth = 32

// tooDeep refuses a body that is nested deeper than maxDepth, before it is parsed.
func tooDeep(body []byte) error {
	depth, text := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case text:
			if c == '\\' {
				i++
			} else if c == '"' {
				text = false
			}
		case c == '"':
			text = true
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("it is nested deeper than %d", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// syntax says what is wrong without repeating what was sent.
func syntax(err error) error {
	var s *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &s):
		return fmt.Errorf("the name %.40q is there twice", s.JSONPointer.LastToken())
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends too early")
	case errors.As(err, &s):
		if strings.Contains(s.Err.Error(), "UTF-8") {
			return errors.New("it is not UTF-8")
		}
		return fmt.Errorf("unexpected text at byte %d", s.ByteOffset)
	default:
		return errors.New("it is not one JSON value")
	}
}

// shape names the field of the wrong type, never its value.
func shape(err *json.SemanticError) string {
	if err.GoType == nil || err.JSONKind == 0 || err.Err != nil {
		return "a value is not of the form that its field wants"
	}
	field := strings.ReplaceAll(strings.TrimPrefix(string(err.JSONPointer), "/"), "/", ".")
	return fmt.Sprintf("%.200s must be a %s, not a %s", field, err.GoType, err.JSONKind)
}
