package keyvault

import (
	"net/url"
	"strings"

	"chatelaine.dev/internal/serve/keyvault/wire"
)

// route is an operation with its path cut up.
type route struct {
	wire.Operation
	segments []string
}

// routes finds operations. The standard mux would clean paths and redirect, which loses
// the body of a POST (contract §1.7), so this one takes paths as they come.
type routes map[shape][]route

// shape is what is compared first: few routes share it.
type shape struct {
	method   string
	segments int
}

func newRoutes(ops []wire.Operation) routes {
	rs := routes{}
	add := func(op wire.Operation, path string) {
		segments := split(path)
		at := shape{op.Method, len(segments)}
		rs[at] = append(rs[at], route{op, segments})
	}
	for _, op := range ops {
		path := op.Path
		if short, ok := strings.CutSuffix(path, "/{version?}"); ok {
			add(op, short)
			path = short + "/{version}"
		} else if before, after, ok := strings.Cut(path, "/{version?}/"); ok {
			add(op, before+"/"+after)
			path = before + "/{version}/" + after
		}
		add(op, path)
	}
	return rs
}

// split cuts a path at its slashes; leading, trailing and double ones do not count.
func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// reserved are words that are no names (contract §1.4).
var reserved = map[string]bool{
	"keys/restore": true, "secrets/restore": true,
	"certificates/restore": true, "certificates/contacts": true, "certificates/issuers": true,
}

// find returns the operation for a method and a raw path, with the name and version in
// it. A literal wins over a name or version. ok is false where no route fits.
func (rs routes) find(method, rawPath string) (op wire.Operation, name, version string, ok bool) {
	parts := split(rawPath)
	for i, p := range parts {
		u, err := url.PathUnescape(p)
		if err != nil {
			return wire.Operation{}, "", "", false
		}
		parts[i] = u
	}
	best := -1
	for _, r := range rs[shape{method, len(parts)}] {
		if n, v, literals, fits := r.match(parts); fits && literals > best {
			op, name, version, best, ok = r.Operation, n, v, literals, true
		}
	}
	return op, name, version, ok
}

func (r route) match(parts []string) (name, version string, literals int, ok bool) {
	for i, s := range r.segments {
		switch {
		case s == "{name}":
			if reserved[strings.ToLower(parts[0]+"/"+parts[i])] {
				return "", "", 0, false
			}
			name = parts[i]
		case s == "{version}":
			version = parts[i]
		case strings.EqualFold(s, parts[i]):
			literals++
		default:
			return "", "", 0, false
		}
	}
	return name, version, literals, true
}
