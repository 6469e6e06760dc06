// Command published prints the list of internal/pki/weak: a hash of each key whose
// private half stands in the source of Go or of a module that the program is built and
// tested with. It is given the folders to look into.
package main

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// block is a private key in PEM, also where each line is a string of a program.
var block = regexp.MustCompile(`(?s)-----BEGIN ([A-Z ]*(?:PRIVATE|TESTING) KEY)-----([^-]+)-----END [A-Z ]*KEY-----`)

// noise is what a program puts between the lines of such a text.
var noise = regexp.MustCompile("\\\\n|[\"'`]\\s*\\+\\s*|[\"'`, \\t\\r]")

const maxFile = 2 << 20

func main() {
	found := map[string]bool{}
	for _, root := range os.Args[1:] {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil //nolint:nilerr // what cannot be read has nothing to offer
			}
			if info, err := d.Info(); err != nil || info.Size() > maxFile {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			for _, m := range block.FindAllSubmatch(text, -1) {
				if hash, ok := hashOf(string(m[1]), string(m[2])); ok {
					found[hash] = true
				}
			}
			return nil
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	list := make([]string, 0, len(found))
	for hash := range found {
		list = append(list, hash)
	}
	slices.Sort(list)
	fmt.Println("# Made by scripts/published-keys. Do not edit.")
	for _, hash := range list {
		fmt.Println(hash)
	}
}

func hashOf(kind, body string) (string, bool) {
	kind = strings.Replace(kind, "TESTING KEY", "PRIVATE KEY", 1)
	text := "-----BEGIN " + kind + "-----\n" + strings.TrimSpace(noise.ReplaceAllString(body, "")) + "\n-----END " + kind + "-----\n"
	p, _ := pem.Decode([]byte(text))
	if p == nil {
		return "", false
	}
	var key any
	var err error
	for _, parse := range []func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		func(b []byte) (any, error) { return x509.ParsePKCS1PrivateKey(b) },
		func(b []byte) (any, error) { return x509.ParseECPrivateKey(b) },
	} {
		if key, err = parse(p.Bytes); err == nil {
			break
		}
	}
	private, ok := key.(interface{ Public() crypto.PublicKey })
	if err != nil || !ok {
		return "", false
	}
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return "", false
	}
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:16]), true
}
