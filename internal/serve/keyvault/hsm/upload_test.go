package hsm_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"testing"
	"time"

	"chatelaine.dev/internal/serve/keyvault/keyvaulttest"
	"chatelaine.dev/internal/vault/hsm/domain"
	"chatelaine.dev/internal/vault/hsm/quorum"
)

func holder(t *testing.T, i int) (quorum.Holder, domain.JWK) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: fmt.Sprint("holder ", i)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return quorum.Holder{Certificate: c, Key: key}, domain.JWK{
		KeyID: c.Subject.String(), Type: "RSA", Ops: []string{"verify", "encrypt", "wrapKey"}, Algorithm: "RSA-OAEP-256",
		N: base64.RawURLEncoding.EncodeToString(key.N.Bytes()), E: "AQAB",
		Chain: []string{base64.StdEncoding.EncodeToString(der)}, Thumbprint: quorum.Thumbprint(der),
	}
}

// ask sends a request, wants the status, and reads the answer.
func ask[T any](t *testing.T, h http.Handler, request [2]string, body any, status int) T {
	t.Helper()
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	w := keyvaulttest.Do(h, request[0], request[1]+"?api-version=7.6", text)
	if w.Code != status {
		t.Fatalf("%s %s: %d %s, want %d", request[0], request[1], w.Code, w.Body, status)
	}
	var answer T
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return answer
}

// The transfer key and what is made for it differ from run to run, so this is no story.
func TestSecurityDomainIsUploadedWhereItsHoldersBringIt(t *testing.T) {
	from, to := start(t), start(t)
	var holders []quorum.Holder
	var certificates []domain.JWK
	for i := range 3 {
		h, j := holder(t, i)
		holders, certificates = append(holders, h), append(certificates, j)
	}
	file := ask[struct{ Value string }](t, from, [2]string{"POST", "/securitydomain/download"}, map[string]any{"certificates": certificates, "required": 2}, http.StatusAccepted)

	offered := ask[map[string]string](t, to, [2]string{"GET", "/securitydomain/upload"}, nil, http.StatusOK)
	var transfer domain.JWK
	if err := json.Unmarshal([]byte(offered["transfer_key"]), &transfer); err != nil {
		t.Fatal(err)
	}
	der, err := base64.StdEncoding.DecodeString(transfer.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := quorum.Open([]byte(file.Value), holders[:2])
	if err != nil {
		t.Fatal(err)
	}
	value, err := quorum.Reseal(opened, c)
	if err != nil {
		t.Fatal(err)
	}
	uploaded := ask[map[string]string](t, to, [2]string{"POST", "/securitydomain/upload"}, map[string]string{"value": string(value)}, http.StatusAccepted)
	after := ask[map[string]string](t, to, [2]string{"GET", "/securitydomain/upload/pending"}, nil, http.StatusOK)

	if uploaded["status"] != "Success" || after["status"] != "Success" || after["status_details"] == "" {
		t.Errorf("answered %v, then %v", uploaded, after)
	}
}
