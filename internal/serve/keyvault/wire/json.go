package wire

import (
	"encoding/base64"
	"encoding/json/jsontext"
	"strconv"
	"strings"
)

// Appender is a body that writes its own JSON: the answers that are given most often.
// It says what encoding/json would say of the same struct.
type Appender interface {
	AppendJSON(b []byte) []byte
}

// Fields appends the members of an object. It begins with {, and End ends it.
type Fields []byte

func (f *Fields) name(name string) {
	if (*f)[len(*f)-1] != '{' {
		*f = append(*f, ',')
	}
	f.quote(name)
	*f = append(*f, ':')
}

func (f *Fields) quote(text string) {
	b, err := jsontext.AppendQuote(*f, text)
	if err != nil { // not UTF-8
		b, _ = jsontext.AppendQuote(*f, strings.ToValidUTF8(text, "\uFFFD"))
	}
	*f = b
}

// Text appends a string that is left out when it is empty.
func (f *Fields) Text(name, value string) {
	if value != "" {
		f.Value(name, value)
	}
}

// Value appends a string, the empty one too.
func (f *Fields) Value(name, value string) {
	f.name(name)
	f.quote(value)
}

// Bytes appends base64url, of no bytes too.
func (f *Fields) Bytes(name string, value []byte) {
	f.name(name)
	*f = append(base64.RawURLEncoding.AppendEncode(append(*f, '"'), value), '"')
}

// True appends a truth that is left out when it is none.
func (f *Fields) True(name string, value bool) {
	if value {
		f.Truth(name, &value)
	}
}

// Truth appends whether something is so, if that is known.
func (f *Fields) Truth(name string, value *bool) {
	if value != nil {
		f.name(name)
		*f = strconv.AppendBool(*f, *value)
	}
}

// Number appends a number, if there is one.
func (f *Fields) Number(name string, value *int64) {
	if value != nil {
		f.name(name)
		*f = strconv.AppendInt(*f, *value, 10)
	}
}

// Object appends a member that is an object itself.
func (f *Fields) Object(name string, members func(f *Fields)) {
	f.name(name)
	*f = append(*f, '{')
	members(f)
	f.End()
}

// End closes the object.
func (f *Fields) End() { *f = append(*f, '}') }

// Append appends the attributes.
func (a Attributes) Append(f *Fields) {
	f.Truth("enabled", a.Enabled)
	f.Number("nbf", a.NotBefore)
	f.Number("exp", a.Expires)
	f.Number("created", a.Created)
	f.Number("updated", a.Updated)
	f.Text("recoveryLevel", a.RecoveryLevel)
	if a.RecoverableDays != nil {
		days := int64(*a.RecoverableDays)
		f.Number("recoverableDays", &days)
	}
}
