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

// place is where an operation stands in the API.
type place struct {
	deleted   bool   // below /deletedkeys and the like
	versioned bool   // of one version
	after     string // what follows name and version
	only      string // instead of a name
}

// places are the addresses of the operations of contract §1, without the kind before them.
func places() map[string]place {
	return map[string]place{
		"Get": {versioned: true}, "Update": {versioned: true}, "Set": {}, "Delete": {}, "KeyImport": {}, "CertificateImport": {after: "/import"},
		"Create": {after: "/create"}, "List": {}, "ListVersions": {after: "/versions"}, "Backup": {after: "/backup"}, "Restore": {only: "/restore"},
		"GetDeleted": {deleted: true}, "ListDeleted": {deleted: true}, "Recover": {deleted: true, after: "/recover"}, "Purge": {deleted: true},
		"Encrypt": {versioned: true, after: "/encrypt"}, "Decrypt": {versioned: true, after: "/decrypt"}, "Wrap": {versioned: true, after: "/wrapkey"},
		"Unwrap": {versioned: true, after: "/unwrapkey"}, "Sign": {versioned: true, after: "/sign"}, "Verify": {versioned: true, after: "/verify"},
		"Release": {versioned: true, after: "/release"}, "Rotate": {after: "/rotate"},
		"RotationPolicyGet": {after: "/rotationpolicy"}, "RotationPolicySet": {after: "/rotationpolicy"},
		"PolicyGet": {after: "/policy"}, "PolicyUpdate": {after: "/policy"},
		"PendingGet": {after: "/pending"}, "PendingUpdate": {after: "/pending"}, "PendingDelete": {after: "/pending"}, "PendingMerge": {after: "/pending/merge"},
		"ContactsGet": {only: "/contacts"}, "ContactsSet": {only: "/contacts"}, "ContactsDelete": {only: "/contacts"}, "IssuersList": {only: "/issuers"},
	}
}

// path is the address of an operation below its vault, and whether it is one of contract §1.
func path(operation, kind, name, version string) (string, bool) {
	var rest string
	for title, folder := range map[string]string{"Key": "keys", "Secret": "secrets", "Certificate": "certificates"} {
		if after, ok := strings.CutPrefix(operation, title); ok && (kind == folder || kind == "") {
			rest, kind = after, folder
		}
	}
	known := places()
	p, ok := known[operation]
	if !ok {
		p, ok = known[rest]
	}
	if !ok || kind == "" {
		return "", false
	}
	path := "/" + kind
	if p.deleted {
		path = "/deleted" + kind
	}
	if p.only != "" {
		return path + p.only, true
	}
	if name != "" {
		path += "/" + name
		if p.versioned && version != "" {
			path += "/" + version
		}
	}
	return path + p.after, true
}
