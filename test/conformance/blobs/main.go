// Command blobs is the storage that Microsoft's suite of backups asks: the small Azure Blob
// Storage of package blobtest, on a free port of this machine, until it is stopped. It
// writes what the suite and the server need into a folder: ca.pem, token and, last, url.
package main

import (
	"encoding/pem"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"chatelaine.dev/internal/blob/blobtest"
)

func main() {
	dir := flag.String("dir", ".", "where to write ca.pem, token and url")
	flag.Parse()
	if err := run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir string) error {
	s := httptest.NewTLSServer((&blobtest.Server{}).Handler())
	defer s.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	for _, f := range []struct {
		name string
		text []byte
	}{{"ca.pem", ca}, {"token", []byte(blobtest.Token)}, {"url", []byte(s.URL + blobtest.Container)}} {
		if err := os.WriteFile(filepath.Join(dir, f.name), f.text, 0o600); err != nil {
			return err
		}
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	<-stop
	return nil
}
