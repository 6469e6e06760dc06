// Package asset holds what a browser loads beside the pages: the style sheet, the
// script, the typeface and htmx. Everything is embedded and served under a path that
// carries a hash of all of it, so that a browser may keep it for ever.
package asset

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed style.css console.js thirdparty/htmx/htmx.min.js thirdparty/inter/*.woff2
var files embed.FS

// types are the content types of what is served; nothing else is.
var types = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".woff2": "font/woff2",
}

// Prefix is the path below which assets are served.
const Prefix = "/assets/"

// Set is every asset, ready to serve.
type Set struct {
	version string
	byName  map[string]file
}

type file struct {
	kind  string
	plain []byte
	small []byte // gzip, nil where it would not help
}

// Load reads the embedded files. An error means a broken build.
func Load() (*Set, error) {
	s := &Set{byName: map[string]file{}}
	sum := sha256.New()
	err := fs.WalkDir(files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(p)
		if err != nil {
			return err
		}
		f := file{kind: types[path.Ext(p)], plain: b}
		if f.kind == "" {
			return fmt.Errorf("asset %s: no content type for it", p)
		}
		if path.Ext(p) != ".woff2" { // already compressed
			if f.small, err = compress(b); err != nil {
				return err
			}
		}
		fmt.Fprintf(sum, "%s %d\n", p, len(b))
		sum.Write(b)
		s.byName[path.Base(p)] = f
		return nil
	})
	s.version = hex.EncodeToString(sum.Sum(nil)[:6])
	return s, err
}

func compress(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Path is where name is served, such as /assets/0a1b2c/style.css.
func (s *Set) Path(name string) string { return Prefix + s.version + "/" + name }

// ServeHTTP serves /assets/{version}/{name}. An older version is answered with today's
// file and is not kept: the page that asked for it was made before an upgrade.
func (s *Set) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	version, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, Prefix), "/")
	f, ok := s.byName[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-store")
	if version == s.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body := f.plain
	if f.small != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.small
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client has gone; there is nobody to tell
	}
}
