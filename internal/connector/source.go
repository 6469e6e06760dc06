package connector

import "context"

// Source is where certificates are found.
type Source interface {
	Checker
	// Discover calls yield once for each certificate and version that the other side
	// holds, in any order, page by page. It returns nil only when everything was seen; an
	// error of yield ends it and is returned as it is. After any other error what was
	// yielded is true but not complete, so nothing may be concluded from an absence.
	Discover(ctx context.Context, yield func(Found) error) error
}

// Found is one certificate at one place.
type Found struct {
	Location    string            // where, stable over time and unique in the source: a URL, an ARN, a path
	Name        string            // what people there call it
	Version     string            // the version of that name; empty where there are none
	Enabled     bool              // false where the other side keeps it but does not serve it
	Certificate []byte            // DER
	Chain       [][]byte          // DER, the issuer first; empty where the source does not tell
	Key         string            // where the private key lives, in the source's words; empty if unknown
	Labels      map[string]string // tags of the other side
	Problem     string            // why Certificate is empty: the object is there, but could not be read
}
