// Command attestation is the attestation service that Microsoft's test of key release
// wants: it says what the test expects of an environment that nobody looked at. It is no
// part of the product.
//
// usage: attestation -dir DIR
//
// It writes its certificate to DIR/ca.pem and, once it answers, its URL to DIR/url.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

func main() {
	dir := flag.String("dir", ".", "folder for ca.pem and url")
	flag.Parse()
	if err := run(*dir); err != nil {
		log.Fatal(err)
	}
}

// service vouches for an environment whose key nobody else has.
type service struct {
	url         string
	signer      *rsa.PrivateKey
	environment *rsa.PrivateKey
}

func run(dir string) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &service{url: fmt.Sprintf("https://localhost:%d", l.Addr().(*net.TCPAddr).Port)}
	if s.signer, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return err
	}
	if s.environment, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return err
	}
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	for name, content := range map[string][]byte{"ca.pem": root, "url": []byte(s.url)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", s.configuration)
	mux.HandleFunc("GET /keys", s.keys)
	mux.HandleFunc("GET /generate-test-token", s.token)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}},
	}
	return server.ServeTLS(l, "", "")
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "attestation for tests"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func (s *service) configuration(w http.ResponseWriter, _ *http.Request) {
	write(w, map[string]any{"issuer": s.url, "jwks_uri": s.url + "/keys"})
}

func (s *service) keys(w http.ResponseWriter, _ *http.Request) {
	write(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.signer.Public(), KeyID: "signer", Use: "sig", Algorithm: "RS256"}}})
}

// token has the claims that Microsoft's own service for tests gave.
func (s *service) token(w http.ResponseWriter, _ *http.Request) {
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": s.url + "/", "sdk-test": true, "maa-ehd": "sdk-test", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "x-ms-inittime": struct{}{},
		"x-ms-runtime": map[string]any{"keys": []jose.JSONWebKey{{Key: s.environment.Public(), KeyID: "fake-release-key", Use: "enc"}}},
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: s.signer, KeyID: "signer"}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	write(w, map[string]string{"token": text})
}

func write(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // a client that is gone needs no answer
}
