package story

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The verbs that scripts have besides those of testscript.

// key is the server's in the values of a script.
type key struct{}

func of(ts *testscript.TestScript) *server { return ts.Value(key{}).(*server) }

// serve starts the server and reads the administrator's environment, as a shell does with
// eval "$(chatelaine env)".
func serve(ts *testscript.TestScript, _ bool, _ []string) {
	s := of(ts)
	ts.Check(s.start())
	environment, err := os.ReadFile(filepath.Join(s.data, "bootstrap", "admin.env"))
	ts.Check(err)
	for line := range strings.Lines(string(environment)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		ts.Setenv(name, value)
	}
}

// crash kills the server and starts it again.
func crash(ts *testscript.TestScript, _ bool, _ []string) {
	s := of(ts)
	s.kill()
	ts.Check(s.start())
}

// program runs a program. In a restless story the server is killed before, and must come
// back with everything that it had.
func program(name string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if s := of(ts); s.restless && s.running != nil {
			before := facts(ts)
			crash(ts, false, nil)
			after := facts(ts)
			for what, was := range before {
				if after[what] != was {
					ts.Fatalf("after a kill -9, %s is %s; before, it was %s", what, after[what], was)
				}
			}
		}
		err := ts.Exec(name, args...)
		if err == nil && neg {
			ts.Fatalf("%s worked, and should not", name)
		}
		if err != nil && !neg {
			ts.Fatalf("%s: %v", name, err)
		}
	}
}

// facts are what must not change by itself: each object of each list, in those of its
// fields that only people, or requests that have not ended, change.
func facts(ts *testscript.TestScript) map[string]string {
	all := map[string]string{}
	for _, file := range []string{"admin.env", "root.pem"} {
		all[file] = ts.ReadFile(filepath.Join(of(ts).data, "bootstrap", file))
	}
	for noun, fields := range map[string][]string{
		"certificate": {"sha256", "name", "owner", "lineage", "revokedAt"},
		"connection":  {"id", "name", "settings"},
		"lineage":     {"id", "names", "targets", "keep"},
		"request":     {"id", "kind", "lineage"},
		"vault":       {"name", "created"},
	} {
		ts.Check(ts.Exec("chatelaine", noun, "list", "-o", "json"))
		var objects []map[string]json.RawMessage
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &objects))
		for _, o := range objects {
			var values []string
			for _, f := range fields {
				values = append(values, string(o[f]))
			}
			all[noun+" "+values[0]] = strings.Join(values, " ")
		}
	}
	return all
}

// nginx starts nginx in a folder with its own nginx.conf, in which ${SHOP} stands for where
// to listen. It listens when the command returns, and ends with the test.
func nginx(ts *testscript.TestScript, _ bool, args []string) {
	folder := ts.MkAbs(args[0])
	file := filepath.Join(folder, "nginx.conf")
	content := strings.ReplaceAll(ts.ReadFile(file), "${SHOP}", ts.Getenv("SHOP"))
	ts.Check(os.WriteFile(file, []byte(content), 0o600))
	ts.Check(ts.Exec("nginx", "-p", folder, "-c", file))
	ts.Defer(func() { _ = ts.Exec("nginx", "-p", folder, "-c", file, "-s", "stop") })
}

// served makes a handshake with the shop: openssl must accept what it shows by our root
// alone, and it must be the certificate in the file.
func served(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("openssl", "s_client", "-connect", ts.Getenv("SHOP"), "-servername", "shop.example.com",
		"-verify_return_error", "-verify_hostname", "shop.example.com", "-no-CApath", "-no-CAstore", "-CAfile", ts.Getenv("ROOT")))
	shown, wanted := certificateIn(ts, "stdout"), certificateIn(ts, args[0])
	if !bytes.Equal(shown, wanted) {
		ts.Fatalf("the shop serves another certificate than %s", args[0])
	}
}

// certificateIn returns the first certificate in a file, in DER.
func certificateIn(ts *testscript.TestScript, file string) []byte {
	text := ts.ReadFile(file)
	if i := strings.Index(text, "-----BEGIN CERTIFICATE-----"); i >= 0 {
		text = text[i:]
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		ts.Fatalf("there is no certificate in %s", file)
	}
	return block.Bytes
}

// fingerprint gives a variable the SHA-256 of the certificate in a file.
func fingerprint(ts *testscript.TestScript, _ bool, args []string) {
	sum := sha256.Sum256(certificateIn(ts, args[1]))
	ts.Setenv(args[0], hex.EncodeToString(sum[:]))
}

// keep gives a variable what the group of a pattern matches in the last output.
func keep(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("nothing matches %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

// torment renews the shop's certificate again and again, and kills the server twice each
// time, a little later than the time before.
func torment(ts *testscript.TestScript, _ bool, args []string) {
	rounds, err := strconv.Atoi(args[0])
	ts.Check(err)
	for round := range rounds {
		ts.Check(ts.Exec("chatelaine", "lineage", "renew", "shop.example.com"))
		keep(ts, false, []string{"REQUEST", `^request +(\S+)$`})
		for _, step := range []time.Duration{40 * time.Millisecond, 10 * time.Millisecond} {
			<-time.After(time.Duration(round) * step) // somewhere in the middle
			crash(ts, false, nil)
		}
		ts.Check(ts.Exec("chatelaine", "request", "show", ts.Getenv("REQUEST"), "--watch"))
		keep(ts, false, []string{"NEW", `^certificate +(\S+)$`})
		served(ts, false, []string{"shop/tls/cert.pem"})
		fingerprint(ts, false, []string{"SERVED", "shop/tls/cert.pem"})
		if ts.Getenv("SERVED") != ts.Getenv("NEW") {
			ts.Fatalf("round %d: %s is served, the request made %s", round, ts.Getenv("SERVED"), ts.Getenv("NEW"))
		}
	}
}
