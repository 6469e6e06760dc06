package arm

import (
	"net/url"
	"strings"

	"chatelaine.dev/internal/serve/arm/wire"
)

// route is an operation with its path cut up.
type route struct {
	wire.Operation
	segments []string
	scoped   bool // begins with any number of segments, which are its scope
}

// scope is the first segment of a path that stands for any number of them.
const scope = "{scope...}"

func newRoutes(ops []wire.Operation) []route {
	routes := make([]route, 0, len(ops))
	for _, op := range ops {
		segments := split(op.Path)
		r := route{Operation: op, segments: segments}
		if len(segments) > 0 && segments[0] == scope {
			r.segments, r.scoped = segments[1:], true
		}
		routes = append(routes, r)
	}
	return routes
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// find returns the operation for a method and a raw path with the parameters in it. known
// says that the path has operations, if not with this method.
func find(routes []route, method, rawPath string) (op wire.Operation, params map[string]string, ok, known bool) {
	parts := split(rawPath)
	for i, p := range parts {
		u, err := url.PathUnescape(p)
		if err != nil || strings.Contains(u, "/") {
			return wire.Operation{}, nil, false, false
		}
		parts[i] = u
	}
	best := -1
	for _, r := range routes {
		p, literals, fits := r.match(parts)
		if !fits {
			continue
		}
		known = true
		if strings.EqualFold(r.Method, method) && literals > best {
			op, params, ok, best = r.Operation, p, true, literals
		}
	}
	return op, params, ok, known
}

func (r route) match(parts []string) (params map[string]string, literals int, ok bool) {
	params = map[string]string{}
	if r.scoped {
		before := len(parts) - len(r.segments)
		if before < 0 {
			return nil, 0, false
		}
		params["scope"] = "/" + strings.Join(parts[:before], "/")
		parts = parts[before:]
	}
	if len(parts) != len(r.segments) {
		return nil, 0, false
	}
	for i, s := range r.segments {
		switch {
		case strings.HasPrefix(s, "{"):
			params[strings.Trim(s, "{}")] = parts[i]
		case strings.EqualFold(s, parts[i]):
			literals++
		default:
			return nil, 0, false
		}
	}
	return params, literals, true
}
