package est

import (
	"io"
	"net/http"
)

// fullCMC declines: RFC 7030 section 4.3 is optional, and its section 4.3.2 has a server
// without it say so.
func (door) fullCMC(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusNotImplemented)
	_, _ = io.WriteString(w, "Full CMC is not offered here; use simpleenroll.\n")
	return nil
}
