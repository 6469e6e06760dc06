package weak

import (
	"bufio"
	"bytes"
	_ "embed" // the list of published keys
	"encoding/hex"
	"fmt"
	"sync"
)

// publishedKeys has a line for each key: the first 16 bytes of the SHA-256 of its
// SubjectPublicKeyInfo, in hex. scripts/published-keys makes it from the private keys in
// the source of Go and of the modules that this program is built and tested with.
//
//go:embed published.txt
var publishedKeys []byte

// prefix is how much of a hash is kept: 128 bits, which nobody meets by chance.
type prefix [16]byte

type published map[prefix]struct{}

// publishedList is parsed once. A test reads the embedded text, so that it has no error.
var publishedList = sync.OnceValue(func() published {
	list, err := parsePublished(publishedKeys)
	if err != nil {
		panic(err)
	}
	return list
})

func parsePublished(text []byte) (published, error) {
	list := published{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		var p prefix
		b, err := hex.DecodeString(string(line))
		if err != nil || len(b) != len(p) {
			return nil, fmt.Errorf("published keys: %.80q is no hash of 16 bytes in hex", line)
		}
		copy(p[:], b)
		list[p] = struct{}{}
	}
	return list, nil
}

func (l published) has(sum [32]byte) bool {
	_, ok := l[prefix(sum[:])]
	return ok
}
