package wire

import (
	"encoding/base64"
	"strings"

	"chatelaine.dev/internal/fault"
)

// Blob is a backup: the body of a backup's response and of a restore's request.
type Blob struct {
	Value string `json:"value"` // base64url
}

// BlobOf makes the response of a backup, or passes err on.
func BlobOf(blob []byte, err error) (Response, error) {
	if err != nil {
		return Response{}, err
	}
	return Response{Body: Blob{Value: base64.RawURLEncoding.EncodeToString(blob)}}, nil
}

// Blob reads the request of a restore.
func (q *Request) Blob() ([]byte, error) {
	var in Blob
	if err := q.Decode(&in); err != nil {
		return nil, err
	}
	blob, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(in.Value, "="))
	if err != nil || len(blob) == 0 {
		return nil, fault.New(fault.Invalid, "BadParameter", "The parameter value must be a backup in base64url.")
	}
	return blob, nil
}
