package view

import (
	"net/url"
	"regexp"
	"strings"
)

// Link is a number or a word that leads to the list behind it.
type Link struct {
	Text string
	Href string
}

// Filtered is the address of a list under a filter. The URL is the state of a list.
func Filtered(path, filter string) string {
	if filter == "" {
		return path
	}
	return path + "?" + url.Values{"q": {filter}}.Encode()
}

// With returns the query of an address with some values set; an empty value is left
// out. Pairs are name, value, name, value.
func With(path string, query url.Values, pairs ...string) string {
	v := url.Values{}
	for name, values := range query {
		v[name] = values
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			v.Del(pairs[i])
		} else {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}

// alternative finds an or, which binds less than the and that is added. One inside
// quotes is found too; parentheses do no harm there.
var alternative = regexp.MustCompile(`(?i)\bor\b`)

// And narrows a filter by one more condition, in the one query language.
func And(filter, condition string) string {
	filter = strings.TrimSpace(filter)
	switch {
	case filter == "":
		return condition
	case alternative.MatchString(filter):
		return "(" + filter + ") and " + condition
	}
	return filter + " and " + condition
}

// Without takes a condition that And added off the filter again.
func Without(filter, condition string) string {
	filter = strings.TrimSpace(filter)
	if filter == condition {
		return ""
	}
	for _, cut := range []string{" and " + condition, condition + " and "} {
		if i := strings.Index(filter, cut); i >= 0 {
			return strings.TrimSpace(filter[:i] + filter[i+len(cut):])
		}
	}
	return filter
}

// Quote writes a value for the query language.
func Quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
