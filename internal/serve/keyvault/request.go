package keyvault

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/http"
)

type correlationKey struct{}

// correlate gives a request an id, which its response, record and log line bear.
func correlate(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), correlationKey{}, newID()))
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func correlation(r *http.Request) string {
	id, _ := r.Context().Value(correlationKey{}).(string)
	return id
}

func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
