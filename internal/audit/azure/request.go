package azure

import (
	"net/http"
	"strings"

	"chatelaine.dev/internal/audit"
)

// authentication is how Azure names a request without a token that is good.
const authentication = "Authentication"

// status is the HTTP status of a vault's answer, where operation, outcome and code tell
// it; else 0.
func status(r audit.Record) int {
	switch {
	case r.Outcome == audit.Denied && r.Operation == authentication:
		return http.StatusUnauthorized
	case r.Outcome == audit.Denied:
		return http.StatusForbidden
	case r.Outcome == audit.Failed:
		return failure(r.Details[audit.Reason])
	case r.Operation == "CertificateCreate":
		return http.StatusAccepted
	case r.Operation == "CertificatePendingMerge":
		return http.StatusCreated
	case strings.HasSuffix(r.Operation, "Purge"):
		return http.StatusNoContent
	}
	return http.StatusOK
}

// failure is the status of an error code (contract §2.2).
func failure(code string) int {
	switch {
	case code == "":
		return 0
	case code == "BadParameter", strings.HasSuffix(code, "NotValid"), strings.HasPrefix(code, "Invalid"):
		return http.StatusBadRequest
	case strings.HasSuffix(code, "NotFound"):
		return http.StatusNotFound
	case code == "Conflict", strings.HasPrefix(code, "ObjectIs"), strings.HasSuffix(code, "AlreadyExists"):
		return http.StatusConflict
	case strings.HasPrefix(code, "Forbidden"), strings.HasSuffix(code, "Disabled"), strings.HasSuffix(code, "Forbidden"),
		strings.HasSuffix(code, "NotYetValid"), strings.HasSuffix(code, "Expired"), code == "PurgeProtected", code == "ManagedObject", code == "AccessDenied":
		return http.StatusForbidden
	case code == "Throttled":
		return http.StatusTooManyRequests
	case code == "Internal":
		return http.StatusInternalServerError
	}
	return 0
}

func words(status int) string {
	if status == 0 {
		return ""
	}
	return http.StatusText(status)
}

// path is the address of an operation below its vault, from the route that serves it.
func (p Places) path(operation, kind, name, version string) (string, bool) {
	route, ok := p.Routes[operation]
	if !ok || kind != "" && !strings.HasPrefix(route+"/", "/"+kind+"/") && !strings.HasPrefix(route+"/", "/deleted"+kind+"/") {
		return "", false
	}
	if name != "" {
		route = strings.Replace(route, "{name}", name, 1)
	}
	if version = strings.TrimSuffix("/"+version, "/"); strings.Contains(route, "/{version?}") {
		route = strings.Replace(route, "/{version?}", version, 1)
	}
	return route, !strings.Contains(route, "{")
}
