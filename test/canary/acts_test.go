package canary

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"software.sslmate.com/src/go-pkcs12"
)

const workers = 8

// word is 26 letters and digits that nobody has seen.
func word() string { return rand.Text() }

// acts are a full run: everything in the product that is told a secret is told many, all
// different. A new feature that takes a secret has an act here.
var acts = []struct {
	name  string
	times int
	do    func(w *world, i int)
}{
	{"a secret is set, read, listed, backed up, deleted and purged", 3000, setSecret},
	{"a curve's key is imported and signs", 250, importCurve},
	{"an RSA key is imported", 6, importRSA},
	{"a symmetric key is imported and opens what it sealed", 250, importSymmetric},
	{"a key is wrapped and unwrapped", 250, wrapKey},
	{"a certificate is imported from PKCS #12 with a password", 80, importPFX},
	{"a certificate is imported from PEM, with the key encrypted or not", 60, importPEM},
	{"a certificate is made", 60, createCertificate},
	{"an issuer is registered", 100, setIssuer},
	{"a program gets a secret, and a token", 100, addCredential},
	{"a person gets a password", 12, createUser},
	{"a connection is made", 60, createConnection},
	{"a webhook subscribes", 40, subscribe},
	{"a sign-in link is made and used", 20, signInByLink},
	{"an HSM is told where to back up to", 30, backUpHSM},
	{"what is sent is wrong", 400, sendNonsense},
}

func play(w *world) {
	var all errgroup.Group
	all.SetLimit(workers)
	for _, a := range acts {
		for i := range a.times {
			all.Go(func() error { a.do(w, i); return nil })
		}
	}
	_ = all.Wait() // what went wrong has been reported
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // a mistake of this test
	}
	return string(b)
}

func setSecret(w *world, i int) {
	name := fmt.Sprintf("/secrets/s%d", i)
	value := w.bird("value of " + name)
	w.vault("PUT", name, encode(map[string]any{"value": value, "contentType": "text/plain", "tags": map[string]string{"n": fmt.Sprint(i)}}), true)
	if i%4 == 0 {
		w.vault("GET", name, "", true)
		w.vault("GET", name+"/versions", "", false)
		w.vault("PATCH", name, `{"attributes":{"enabled":false}}`, false)
		w.send(call{method: "GET", url: w.env["CHATELAINE_VAULT_URL"] + name + "?api-version=7.6"}) // is disabled
	}
	if i%8 == 0 {
		w.vault("POST", name+"/backup", "", false)
		w.vault("DELETE", name, "", false)
		if i%16 == 0 {
			w.vault("DELETE", strings.Replace(name, "/secrets/", "/deletedsecrets/", 1), "", false)
		}
	}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func importCurve(w *world, i int) {
	name := fmt.Sprintf("/keys/ec%d", i)
	k := w.curve("private key of " + name)
	raw, err := k.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	d, err := k.Bytes()
	if err != nil {
		panic(err)
	}
	w.vault("PUT", name, encode(map[string]any{"key": map[string]any{"kty": "EC", "crv": "P-256", "x": b64(raw[1:33]), "y": b64(raw[33:]), "d": b64(d)}}), false)
	w.vault("POST", name+"/sign", `{"alg":"ES256","value":"`+b64(make([]byte, 32))+`"}`, false)
	w.vault("GET", name, "", false)
	w.vault("POST", name+"/backup", "", false)
	if i%4 == 0 {
		w.vault("DELETE", name, "", false)
	}
}

// curve makes a key whose private half is a canary.
func (w *world) curve(what string) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	d, err := k.Bytes()
	if err != nil {
		panic(err)
	}
	w.keep(what, d)
	return k
}

// rsaKey makes a key of which every private number is a canary.
func (w *world) rsaKey(what string) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	w.keepRSA(what, k)
	return k
}

func (w *world) keepRSA(what string, k *rsa.PrivateKey) {
	for part, n := range numbers(k) {
		w.keep(what+", "+part, n.Bytes())
	}
}

func numbers(k *rsa.PrivateKey) map[string]*big.Int {
	return map[string]*big.Int{"d": k.D, "p": k.Primes[0], "q": k.Primes[1], "dp": k.Precomputed.Dp, "dq": k.Precomputed.Dq, "qi": k.Precomputed.Qinv}
}

func importRSA(w *world, i int) {
	name := fmt.Sprintf("/keys/rsa%d", i)
	k := w.rsaKey("private key of " + name)
	jwk := map[string]any{"kty": "RSA", "n": b64(k.N.Bytes()), "e": "AQAB"}
	for part, n := range numbers(k) {
		jwk[part] = b64(n.Bytes())
	}
	w.vault("PUT", name, encode(map[string]any{"key": jwk}), false)
	w.vault("POST", name+"/backup", "", false)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}

func importSymmetric(w *world, i int) {
	name := fmt.Sprintf("hsm:/keys/oct%d", i)
	k := random(32)
	w.keep("symmetric key "+name, k)
	w.vault("PUT", name, encode(map[string]any{"key": map[string]any{"kty": "oct", "k": b64(k), "key_ops": []string{"encrypt", "decrypt"}}, "Hsm": true}), false)
	message := w.plain("message under " + name)
	var sealed struct{ Value, IV, Tag string }
	if err := json.Unmarshal(w.vault("POST", name+"/encrypt", encode(map[string]any{"alg": "A256GCM", "value": b64([]byte(message))}), false), &sealed); err != nil {
		w.t.Error(err)
	}
	w.vault("POST", name+"/decrypt", encode(map[string]any{"alg": "A256GCM", "value": sealed.Value, "iv": sealed.IV, "tag": sealed.Tag}), true)
	w.send(call{method: "POST", url: w.env["CHATELAINE_HSM_URL"] + name[4:] + "/decrypt?api-version=7.6", body: encode(map[string]any{"alg": "A256GCM", "value": sealed.Value, "iv": sealed.IV, "tag": b64(make([]byte, 16))})})
}

func wrapKey(w *world, i int) {
	w.wrapper.Do(func() { w.vault("POST", "/keys/wrapper/create", `{"kty":"RSA"}`, false) })
	k := random(32)
	w.keep(fmt.Sprint("wrapped key ", i), k)
	var wrapped struct{ Value string }
	if err := json.Unmarshal(w.vault("POST", "/keys/wrapper/wrapkey", encode(map[string]any{"alg": "RSA-OAEP-256", "value": b64(k)}), false), &wrapped); err != nil {
		w.t.Error(err)
	}
	w.vault("POST", "/keys/wrapper/unwrapkey", encode(map[string]any{"alg": "RSA-OAEP-256", "value": wrapped.Value}), true)
}

// leaf makes a certificate for a key.
func leaf(k *ecdsa.PrivateKey, name string) *x509.Certificate {
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		panic(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		panic(err)
	}
	return c
}

func importPFX(w *world, i int) {
	name := fmt.Sprintf("/certificates/pfx%d", i)
	k, password := w.curve("private key of "+name), w.plain("password of "+name)
	encoder := []*pkcs12.Encoder{pkcs12.LegacyRC2, pkcs12.LegacyDES, pkcs12.Modern2023.WithIterations(1000)}[i%3]
	file, err := encoder.Encode(k, leaf(k, "pfx"), nil, password)
	if err != nil {
		panic(err)
	}
	value := base64.StdEncoding.EncodeToString(file)
	w.refuse("POST", name+"/import", encode(map[string]any{"value": value, "pwd": w.bird("wrong password of " + name)}))
	w.vault("POST", name+"/import", encode(map[string]any{"value": value, "pwd": password}), false)
	w.vault("GET", name, "", false)
	w.vault("POST", name+"/backup", "", false)
	w.vault("GET", strings.Replace(name, "certificates", "keys", 1), "", false)
	w.vault("GET", strings.Replace(name, "certificates", "secrets", 1), "", true)
}

func importPEM(w *world, i int) {
	name := fmt.Sprintf("/certificates/pem%d", i)
	k := w.curve("private key of " + name)
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		panic(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf(k, "pem").Raw}))
	w.vault("POST", name+"/import", encode(map[string]any{"value": text + certificate}), false)
	// Neither a file without its certificate nor one that is cut gives its key away.
	w.refuse("POST", name+"x/import", encode(map[string]any{"value": text}))
	w.refuse("POST", name+"x/import", encode(map[string]any{"value": text[:len(text)-40] + certificate}))
	w.refuse("POST", name+"x/import", encode(map[string]any{"value": base64.StdEncoding.EncodeToString(der)}))
}

func createCertificate(w *world, i int) {
	name := fmt.Sprintf("/certificates/made%d", i)
	w.vault("POST", name+"/create", `{"policy":{"issuer":{"name":"Self"},"key_props":{"kty":"EC","crv":"P-256","exportable":true},"secret_props":{"contentType":"application/x-pem-file"},"x509_props":{"subject":"CN=made"}}}`, false)
	var secret struct{ Value string }
	if err := json.Unmarshal(w.vault("GET", strings.Replace(name, "certificates", "secrets", 1), "", true), &secret); err != nil {
		w.t.Error(err)
	}
	block, _ := pem.Decode([]byte(secret.Value))
	if block == nil {
		w.t.Errorf("%s: the secret has no key", name)
		return
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		w.t.Error(err)
		return
	}
	d, err := k.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		panic(err)
	}
	w.keep("private key of "+name, d)
	w.vault("GET", name, "", false)
}

func setIssuer(w *world, i int) {
	name := fmt.Sprintf("/certificates/issuers/i%d", i)
	w.vault("PUT", name, encode(map[string]any{"provider": "Test", "credentials": map[string]any{"account_id": "a", "pwd": w.bird("password of " + name)}}), false)
	w.vault("PATCH", name, encode(map[string]any{"credentials": map[string]any{"account_id": "b", "pwd": w.bird("new password of " + name)}}), false)
	w.vault("GET", name, "", false)
}

func addCredential(w *world, i int) {
	var who struct{ ID, ClientID string }
	if err := json.Unmarshal(w.api("POST", "/applications", encode(map[string]any{"name": fmt.Sprint("program ", i)}), false), &who); err != nil {
		w.t.Error(err)
	}
	kind := []string{"secret", "header"}[i%2]
	var got struct{ Secret string }
	if err := json.Unmarshal(w.api("POST", "/principals/"+who.ID+"/credentials", encode(map[string]any{"kind": kind}), true), &got); err != nil {
		w.t.Error(err)
	}
	w.keep(fmt.Sprint("credential of program ", i), []byte(got.Secret))
	w.api("GET", "/principals/"+who.ID+"/credentials", "", false)
	if kind == "secret" {
		w.signIn(fmt.Sprint("program ", i), who.ClientID, got.Secret)
		w.signIn("", who.ClientID, w.bird(fmt.Sprint("wrong secret of program ", i)))
	}
}

func createUser(w *world, i int) {
	password := w.bird(fmt.Sprint("password of user ", i))
	w.api("POST", "/users", encode(map[string]any{"name": fmt.Sprint("person ", i), "signIn": fmt.Sprint("person", i), "password": password}), false)
	form := url.Values{"user": {fmt.Sprint("person", i)}, "password": {w.bird(fmt.Sprint("wrong password of user ", i))}}
	if i < 3 { // more would only be told to wait
		w.send(call{"POST", w.env["CHATELAINE_URL"] + "/sign-in", form.Encode(), browser(w, ""), false})
	}
	form.Set("password", password)
	w.send(call{"POST", w.env["CHATELAINE_URL"] + "/sign-in", form.Encode(), browser(w, ""), true}) // its cookie is a session
}

// browser are the headers that a browser sends with a form of ours.
func browser(w *world, cookie string) map[string]string {
	return map[string]string{
		"Content-Type": "application/x-www-form-urlencoded", "Authorization": "", "Origin": w.env["CHATELAINE_URL"], "Sec-Fetch-Site": "same-origin", "Cookie": cookie,
	}
}

func createConnection(w *world, i int) {
	draft := map[string]any{"name": fmt.Sprint("connection ", i), "connector": "azurekeyvault", "settings": map[string]any{
		"url": w.env["CHATELAINE_VAULT_URL"], "tenant": "adfs", "clientId": "nobody", "clientSecret": w.bird(fmt.Sprint("secret of connection ", i)), "authority": w.env["CHATELAINE_URL"],
	}}
	var made struct{ ID string }
	if err := json.Unmarshal(w.api("POST", "/connections", encode(draft), false), &made); err != nil {
		w.t.Error(err)
	}
	w.api("GET", "/connections/"+made.ID, "", false)
	if i < 3 { // the other side refuses it
		w.api("POST", "/connections/"+made.ID+"/test", "", false)
	}
}

// hook is a webhook that agrees to everything, and what it was told.
type hook struct {
	*httptest.Server
	mu   sync.Mutex
	told strings.Builder
}

func newHook() *hook {
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			rw.Header().Set("WebHook-Allowed-Origin", r.Header.Get("WebHook-Request-Origin"))
			rw.Header().Set("WebHook-Allowed-Rate", "*")
			return
		}
		body, _ := io.ReadAll(r.Body) // what was cut is told as far as it came
		h.mu.Lock()
		defer h.mu.Unlock()
		h.told.Write(body)
		_ = r.Header.Write(&h.told)
	}))
	return h
}

func subscribe(w *world, i int) {
	key := random(32)
	w.keep(fmt.Sprint("key of subscription ", i), key)
	query := w.plain(fmt.Sprint("query of subscription ", i))
	endpoint := w.env["HOOK"] + "/hook?code=" + query
	if i%2 == 1 {
		endpoint = "http://127.0.0.1:1/nobody?code=" + query // where nothing answers, which is a problem to tell of
	}
	var made struct{ ID string }
	draft := map[string]any{"name": fmt.Sprint("subscription ", i), "endpoint": endpoint, "key": "whsec_" + base64.StdEncoding.EncodeToString(key)}
	if err := json.Unmarshal(w.api("POST", "/subscriptions", encode(draft), false), &made); err != nil {
		w.t.Error(err)
	}
	w.api("POST", "/subscriptions/"+made.ID+"/test", "", false)
	w.api("GET", "/subscriptions/"+made.ID, "", false)
	w.api("GET", "/subscriptions/"+made.ID+"/dead-letters", "", false)
}

func signInByLink(w *world, i int) {
	var link struct{ Path string }
	if err := json.Unmarshal(w.api("POST", "/sign-in-links", `{}`, true), &link); err != nil {
		w.t.Error(err)
	}
	_, token, _ := strings.Cut(link.Path, "token=")
	w.keep(fmt.Sprint("sign-in link ", i), []byte(token))
	cookie := w.session(token)
	w.keep(fmt.Sprint("session ", i), []byte(cookie))
	w.send(call{"GET", w.env["CHATELAINE_URL"] + "/", "", browser(w, "__Host-session="+cookie), false})
	w.send(call{"POST", w.env["CHATELAINE_URL"] + "/sign-out", "", browser(w, "__Host-session="+cookie), false})
}

// session signs in by a link and returns the session's cookie.
func (w *world) session(token string) string {
	r, err := http.NewRequest(http.MethodPost, w.env["CHATELAINE_URL"]+"/sign-in", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		panic(err)
	}
	for name, value := range browser(w, "") {
		r.Header.Set(name, value)
	}
	res, err := w.client.Do(r)
	if err != nil {
		w.t.Error(err)
		return ""
	}
	defer func() { _ = res.Body.Close() }()
	for _, c := range res.Cookies() {
		if c.Name == "__Host-session" {
			return c.Value
		}
	}
	w.t.Errorf("sign in by link: %d without a session", res.StatusCode)
	return word() // some
}

// backUpHSM names storage that is not there, with a token for it: the job fails and tells why.
func backUpHSM(w *world, i int) {
	token := "sv=2020&sig=" + w.plain(fmt.Sprint("token of storage ", i))
	body := encode(map[string]any{"storageResourceUri": "https://127.0.0.1:1/container", "token": token})
	path := []string{"/backup", "/prebackup", "/restore"}[i%3]
	method := "POST"
	if path == "/restore" {
		method, body = "PUT", encode(map[string]any{"sasTokenParameters": map[string]any{"storageResourceUri": "https://127.0.0.1:1/container", "token": token}, "folderToRestore": "mhsm-x"})
	}
	_, answer := w.send(call{method: method, url: w.env["CHATELAINE_HSM_URL"] + path + "?api-version=7.6", body: body})
	var job struct{ JobID string }
	_ = json.Unmarshal(answer, &job) // a refusal has none
	if job.JobID != "" {
		w.send(call{method: "GET", url: w.env["CHATELAINE_HSM_URL"] + strings.Replace(path, "/pre", "/", 1) + "/" + job.JobID + "/pending?api-version=7.6"})
	}
}

// refuse sends what must not be accepted.
func (w *world) refuse(method, path, body string) {
	if status, got := w.send(call{method: method, url: w.env["CHATELAINE_VAULT_URL"] + path + "?api-version=7.6", body: body}); status < 400 || status >= 500 {
		w.t.Errorf("%s %s was to be refused: %d %s", method, path, status, got)
	}
}

// sendNonsense sends secrets where something about them is wrong, which an error tells of.
func sendNonsense(w *world, i int) {
	secret := w.bird(fmt.Sprint("nonsense ", i))
	inJSON := encode(secret)
	bodies := []string{
		`{"value":` + inJSON, `{"value":` + inJSON + `,}`, `{"value":` + inJSON + `,"value":` + inJSON + `}`, `{"value":[` + inJSON + `]}`,
		`{"value":{` + inJSON + `:1}}`, `{` + inJSON + `:`, inJSON, `[` + inJSON + `]`, secret, `{"value":"x","tags":` + inJSON + `}`,
		`{"value":"x","attributes":` + inJSON + `}`, `{"value":"x","attributes":{"exp":` + inJSON + `}}`, `{"value":"x","attributes":{"enabled":` + inJSON + `}}`,
		`{"value":"x","contentType":[` + inJSON + `]}`, `{"value":"` + strings.Repeat("x", 30_000) + secret[5:] + `"}`, `{"value":"` + secret[5:] + "\x01" + `"}`, `{"value":"` + secret[5:] + "\xff" + `"}`,
	}
	switch i % 4 {
	case 0:
		w.refuse("PUT", "/secrets/nonsense", bodies[i/4%len(bodies)])
	case 1: // where a key is expected
		w.refuse("PUT", "/keys/nonsense", `{"key":{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":`+inJSON+`}}`)
		w.refuse("PUT", "/keys/nonsense", `{"key":{"kty":"RSA","n":`+inJSON+`,"e":"AQAB","d":`+inJSON+`}}`)
		w.refuse("POST", "/certificates/nonsense/import", `{"value":`+inJSON+`}`)
		w.refuse("POST", "/secrets/restore", `{"value":`+inJSON+`}`)
		w.refuse("POST", "/keys/wrapper/decrypt", `{"alg":"RSA-OAEP-256","value":`+inJSON+`}`)
	case 2: // as a token
		url := w.env["CHATELAINE_VAULT_URL"] + "/secrets/nonsense?api-version=7.6"
		w.send(call{"GET", url, "", map[string]string{"Authorization": "Bearer " + secret[5:]}, false})
		w.send(call{"GET", url, "", map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("x:"+secret))}, false})
		w.send(call{"GET", w.env["IDENTITY_ENDPOINT"] + "?api-version=2019-08-01&resource=" + url, "", map[string]string{"X-IDENTITY-HEADER": secret[5:], "Authorization": ""}, false})
	case 3: // to our own API
		for _, path := range []string{"/users", "/connections", "/subscriptions"} {
			w.send(call{method: "POST", url: w.env["CHATELAINE_URL"] + "/api/v1" + path, body: encode(map[string]any{"name": 1, "signIn": "x", "password": secret, "key": secret, "endpoint": secret, "settings": map[string]any{"clientSecret": secret}})})
			w.send(call{method: "POST", url: w.env["CHATELAINE_URL"] + "/api/v1" + path, body: `{"password":` + inJSON + `,`})
		}
	}
}
