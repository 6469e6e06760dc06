package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatelaine.dev/internal/vault/hsm/quorum"
)

func newHolder(t *testing.T, name string) quorum.Holder {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return quorum.Holder{Certificate: cert, Key: key}
}

func TestQuorumOfHoldersMakesTheUpload(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	var certs []*x509.Certificate
	var files []string
	for i := range 3 {
		h := newHolder(t, fmt.Sprint("holder ", i))
		certs = append(certs, h.Certificate)
		cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate.Raw})
		pkcs8, err := x509.MarshalPKCS8PrivateKey(h.Key)
		if err != nil {
			t.Fatal(err)
		}
		key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
		if i == 0 { // one file
			files = append(files, write("both.pem", append(cert, key...)))
			continue
		}
		files = append(files, write(fmt.Sprint(i, ".cer"), cert)+":"+write(fmt.Sprint(i, ".key"), key))
	}
	secret := quorum.Secret{Tag: "x", Plain: []byte("the key")}
	domain, err := quorum.New([]quorum.Secret{secret}, certs, 2)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := json.Marshal(map[string]string{"value": string(domain)})
	if err != nil {
		t.Fatal(err)
	}
	to := newHolder(t, "transfer")
	jwk := fmt.Sprintf(`{"kty":"RSA","x5c":[%q]}`, base64.StdEncoding.EncodeToString(to.Certificate.Raw))
	transfer, err := json.Marshal(map[string]string{"key_format": "jwk", "transfer_key": jwk})
	if err != nil {
		t.Fatal(err)
	}
	o := hsmRestoreBlobOptions{domain: write("domain.json", answer), transfer: write("transfer.json", transfer), holders: []string{files[0], files[2]}}

	for name, with := range map[string]hsmRestoreBlobOptions{
		"answers of the service": o,
		"what az has written": {
			domain: write("raw.json", domain), holders: files[1:],
			transfer: write("transfer.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: to.Certificate.Raw})),
		},
	} {
		var out bytes.Buffer
		if err := runHSMRestoreBlob(t.Context(), with, &out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var body struct{ Value string }
		if err := json.Unmarshal(out.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		got, err := quorum.OpenBlob([]byte(body.Value), to)
		if err != nil || len(got) != 1 || !bytes.Equal(got[0].Plain, secret.Plain) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}

	for name, holders := range map[string][]string{
		"one holder":           {files[0]},
		"one holder twice":     {files[0], files[0]},
		"a key of another":     {strings.Split(files[1], ":")[0] + ":" + strings.Split(files[2], ":")[1], files[0]},
		"a certificate alone":  {strings.Split(files[1], ":")[0], files[0]},
		"a file that is none":  {filepath.Join(dir, "none")},
		"a file without a key": {write("empty", nil), files[0]},
	} {
		var out bytes.Buffer
		with := o
		with.holders = holders
		if err := runHSMRestoreBlob(t.Context(), with, &out); err == nil || out.Len() > 0 {
			t.Errorf("%s: %v, %q", name, err, out.String())
		}
	}
}
