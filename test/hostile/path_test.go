package hostile

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/audit"
	"chatelaine.dev/internal/vault/object"
	"chatelaine.dev/internal/vault/secrets"
)

// paths are how many are sent, spelled in every way that a program on the way could read
// otherwise than we do (reliability §2 row 5).
const paths = 10_000

// mine is the one secret that the caller may read, write and delete; the others are not.
const (
	mine   = "mine"
	others = "other"
)

// templates are paths that mean something, in the vault and in our own API.
var templates = []string{
	"/secrets/mine", "/secrets/mine", "/secrets/other", "/secrets/mine/versions", "/secrets/other/versions", "/secrets/mine/backup", "/secrets/other/backup", "/secrets", "/deletedsecrets/mine", "/deletedsecrets/other",
	"/keys/mine", "/keys/mine/sign", "/certificates/mine", "/certificates/mine/policy", "/certificates/contacts", "/certificates/issuers/mine", "/secrets/mine/0123456789abcdef0123456789abcdef",
}

// twist spells a path otherwise.
func twist(r *mrand.Rand, path string) string {
	insert := func(s, what string) string {
		at := r.IntN(len(s) + 1)
		return s[:at] + what + s[at:]
	}
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	for range max(1, r.IntN(4)) {
		switch r.IntN(12) {
		case 0: // one character, percent-encoded
			at := r.IntN(len(path))
			path = path[:at] + fmt.Sprintf(pick("%%%02x", "%%%02X", "%%25%02x"), path[at]) + path[at+1:]
		case 1: // up
			path += pick("/..", "/../other", "/%2e%2e/other", "/.%2E/other", "/..%2fother", "%2f..%2fother", "/%252e%252e/other", "/..;/other", "/..\\other", "%5c..%5cother")
		case 2: // up, in the middle
			path = strings.Replace(path, "/mine", pick("/other/../mine", "/mine/../other", "/./mine", "/%2e/mine", "/other%2f..%2fmine", "/mine%2f..%2fother", "//mine", "/;/mine"), 1)
		case 3: // slashes
			path = pick("//", "///", "/%2f", "/./", "/%2F/") + strings.TrimPrefix(path, "/")
		case 4:
			path += pick("/", "//", "%2f", "%2F", "/%2f", "/.", "/;", "/..;/")
		case 5: // parameters of a segment
			path = insert(path, pick(";", ";a=b", ";mine", "%3b", ";jsessionid=1"))
		case 6: // what follows a name
			path += pick(".", "..", "%2e", "%20", "%00", "%0a", "%0d%0a", ".json", "~", "%09", "*", "+", "%", "%zz", "%u0041", "::$DATA")
		case 7: // case
			if r.IntN(2) == 0 {
				path = strings.ToUpper(path)
			} else {
				path = strings.Replace(path, "mine", pick("Mine", "MINE", "mINE"), 1)
			}
		case 8: // letters that look or fold alike
			path = strings.Replace(path, "mine", pick("m%C4%B1ne", "m%C4%B0ne", "%EF%BD%8Dine", "min%D0%B5", "mi%CC%81ne", "mine%E2%80%8B", "mine%CC%81"), 1)
		case 9: // UTF-8 that is too long, or none
			path = insert(path, pick("%c0%ae", "%c0%af", "%e0%80%af", "%ff", "%c0%ae%c0%ae/", "%f0%80%80%af"))
		case 10: // too long
			path += strings.Repeat(pick("a", "/a", "%61", "/.."), 1+r.IntN(400))
		case 11: // the end of a path
			path += pick("%3f", "%23", "%3Fapi-version=7.6", "%26", "%3d", "?", "?x=/secrets/other", "?/../other")
		}
	}
	return path
}

// line is one connection on which requests are written as they are, past a client that
// would put them in order.
type line struct {
	t    *testing.T
	p    *apptest.Product
	conn *tls.Conn
	in   *bufio.Reader
}

func (l *line) dial(host string) {
	l.t.Helper()
	c, err := tls.Dial("tcp", "127.0.0.1:"+l.p.Port, &tls.Config{RootCAs: l.p.Roots, ServerName: host, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	if err != nil {
		l.t.Fatal(err)
	}
	l.conn, l.in = c, bufio.NewReader(c)
}

// send writes one request and reads its answer. A connection that was closed is opened anew
// for the next one.
func (l *line) send(method, target, host, bearer string) (status int, id, body string) {
	l.t.Helper()
	if l.conn == nil {
		l.dial("default.localhost")
	}
	_, err := fmt.Fprintf(l.conn, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", method, target, host, bearer)
	if err != nil {
		l.t.Fatal(err)
	}
	res, err := http.ReadResponse(l.in, &http.Request{Method: method})
	if err != nil {
		l.t.Fatalf("%s %.200q: %v", method, target, err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.Close {
		_ = l.conn.Close()
		l.conn = nil
	}
	return res.StatusCode, res.Header.Get("X-Ms-Request-Id"), string(b)
}

// named is the object that an answer is about: the name in its id.
func named(body string) (string, bool) {
	var answer struct{ ID, RecoveryID string }
	if json.Unmarshal([]byte(body), &answer) != nil || answer.ID == "" {
		return "", false
	}
	parts := strings.Split(strings.TrimPrefix(answer.ID, "https://"), "/")
	if len(parts) < 3 {
		return "", false
	}
	return strings.ToLower(parts[1] + "/" + parts[2]), true
}

// What is routed, what is authorised and what is recorded are one and the same object, or
// the path is refused.
func TestPathsMeanOneThing(t *testing.T) {
	t.Parallel()
	p := apptest.Start(t)
	for _, name := range []string{mine, others} {
		if _, err := p.Secrets.Set(t.Context(), apptest.System, object.Ref{Vault: "default", Name: name}, secrets.SetRequest{Value: secrets.Value("value of " + name)}); err != nil {
			t.Fatal(err)
		}
	}
	limited := p.Application(t, "limited", "/vaults/default/secrets/mine", "Key Vault Secrets Officer")
	all := p.Application(t, "all", "/vaults/default", "Key Vault Administrator")
	l := &line{t: t, p: p}
	defer func() {
		if l.conn != nil {
			_ = l.conn.Close()
		}
	}()

	about := map[string]string{} // what was answered for, by the id of the request
	served := map[string]int{}
	for i := range paths {
		r := mrand.New(mrand.NewPCG(9, uint64(i)))
		path := templates[i%len(templates)]
		if i%20 > 0 { // some as they are, or nothing would be served
			path = twist(r, path)
		}
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		target := path
		if !strings.Contains(path, "?") {
			target += "?api-version=7.6"
		} else {
			target += "&api-version=7.6"
		}
		host := "default.localhost:" + p.Port
		switch i % 37 {
		case 1:
			host = "DEFAULT.LocalHost.:" + p.Port
		case 2: // the target decides, and the header does not
			target, host = "https://default.localhost:"+p.Port+target, "hsm.localhost:"+p.Port
		}
		bearer, who := limited, "limited"
		if i%3 == 0 {
			bearer, who = all, "all"
		}
		method := []string{"GET", "GET", "GET", "POST", "PATCH"}[r.IntN(5)]
		if strings.HasPrefix(strings.TrimLeft(path, "/"), "deleted") {
			method = "GET" // nothing shall get lost
		}

		status, id, body := l.send(method, target, host, bearer)

		switch {
		case status >= 200 && status < 300:
			served[who]++
			object, ok := named(body)
			if ok {
				about[id] = object
			}
			if who == "limited" && (ok && object != "secrets/"+mine || strings.Contains(body, "value of "+others)) {
				t.Errorf("%s %s: whoever may touch %s alone is answered %d %.300s", method, target, mine, status, body)
			}
		case status == 400, status == 403, status == 404, status == 405, status == 409, status == 431:
		default:
			t.Errorf("%s %.200s: %d %.200s", method, target, status, body)
		}
	}
	t.Logf("%d paths; served: %v", paths, served)
	if served["limited"] < 100 || served["all"] < 100 {
		t.Errorf("only %v were served: the paths are too wild to show anything", served)
	}
	holdAgainstTrail(t, p, about)
}

// holdAgainstTrail wants every record of the run to be of what its request was answered for.
func holdAgainstTrail(t *testing.T, p *apptest.Product, about map[string]string) {
	t.Helper()
	seen := 0
	for q := (audit.Query{Limit: 1000}); ; {
		records, err := p.Audit().List(t.Context(), apptest.System, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Name == "limited" && r.Outcome == audit.Success && strings.HasPrefix(r.Target, "/vaults/") && !strings.EqualFold(r.Target, "/vaults/default/secrets/"+mine) {
				t.Errorf("the trail has %s of %s by whoever may touch %s alone", r.Operation, r.Target, mine)
			}
			object, ok := about[r.Correlation]
			if !ok || r.Outcome != audit.Success {
				continue
			}
			seen++
			if !strings.EqualFold(r.Target, "/vaults/default/"+object) {
				t.Errorf("%s: answered for %s, recorded for %s", r.Correlation, object, r.Target)
			}
		}
		if len(records) < q.Limit {
			break
		}
		q.Before = records[len(records)-1].Sequence
	}
	if seen < 100 {
		t.Errorf("only %d records were compared", seen)
	}
}
