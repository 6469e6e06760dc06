// Package hostile sends what strangers may send: JSON that is none, files that are bombs,
// paths that two programs could read in two ways. Each is refused, at once and cheaply.
package hostile

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"chatelaine.dev/internal/app/apptest"
	"chatelaine.dev/internal/serve/arm/wire"
)

// values are texts that are a JSON value by RFC 8259, and texts that are none. They are sent
// alone and inside of an object.
var values = map[bool][]string{
	true: {
		// §3: the three names
		`true`, `false`, `null`,
		// §4, §5: structure and space
		`{}`, `[]`, `[ ]`, `{ }`, "[\n]", "\t{\r\n}\t", ` [] `, `[[]]`, `[{}]`, `{"":0}`, `{"a":[]}`, `{"a":{"b":{"c":{}}}}`, `[1,2]`, "[1 ,\n2]", `[null,1,"1",{}]`, `[[],[[]],[[],[]]]`,
		`{"a":1,"b":2}`, `{"a":1,"A":2}`, `{"a" : 1}`, "{\"a\"\n:\n1}", `{"a b":1}`, `{"\"":1}`, `{"\u0061b":1}`, `{"a\u0000b":1}`, `[""]`, `["",""]`, `[{"a":1},{"a":1}]`,
		// §6: numbers
		`0`, `-0`, `1`, `-1`, `10`, `123456789`, `0.0`, `-0.0`, `0.1`, `1.5`, `1e1`, `1E1`, `1e+1`, `1e-1`, `1E+01`, `1e00`, `0e0`, `0e+1`, `1.5e3`, `-1.5E-3`, `[0,-0]`, `20e1`, `123.456e78`, `-123`,
		`1e308`, `1e-400`, `4.9e-324`, `123123123123123123123123123`, `0.` + strings.Repeat("0", 100) + `1`, strings.Repeat("9", 400), `1.` + strings.Repeat("3", 400),
		// §7: strings
		`""`, `"a"`, `" "`, `"\""`, `"\\"`, `"\/"`, `"/"`, `"\b\f\n\r\t"`, `"\u0041"`, `"\u00e9"`, `"\u20AC"`, `"\uD834\uDD1E"`, `"é"`, `"€"`, `"𝄞"`, "\"\u007f\"", "\"\u2028\u2029\"", `"\u0000"`, `"\u001F"`,
		`"a\\u0041"`, `"\\\""`, `"'"`, `"// no comment"`, `"/* nor this */"`, `"[{,}]"`, `"\uFFFF"`, "\"\uffff\"", "\"\ufeff\"", "\"\U0010ffff\"", `"\uDBFF\uDFFF"`, `"` + strings.Repeat("x", 10_000) + `"`,
		"\"\u200b\"", "\"e\u0301\"", `"\u0065\u0301"`, `"%00"`, `"\u005C\u0022"`, `["a","a"]`, `"<script>"`, `"${x}"`,
		// §9: as deep as is allowed, one level being the test's own
		strings.Repeat("[", 31) + strings.Repeat("]", 31), strings.Repeat(`{"a":`, 31) + "1" + strings.Repeat("}", 31),
	},
	false: {
		// names that are none
		`tru`, `True`, `TRUE`, `nul`, `NULL`, `nil`, `None`, `undefined`, `NaN`, `nan`, `Infinity`, `-Infinity`, `+Infinity`, `inf`, `truefalse`, `falsey`, `yes`, `a`, `[a]`, `[tru]`, `{"a":tru}`, "nu\nll",
		// numbers that are none
		`-`, `+1`, `01`, `-01`, `00`, `1.`, `.1`, `-.1`, `1.e1`, `1e`, `1e+`, `1E-`, `1ee1`, `1e1.5`, `0x1`, `0X1F`, `0b1`, `0o7`, `1_000`, `1,5`[:2] + `}`, `--1`, `-+1`, `+-1`, `- 1`, `1.2.3`, `1f`, `1L`, `1n`, `٣`, `１`, `1e1e1`, `0.e1`, `.`, `-a`, `[-]`, `[1.]`, `[01]`, `[1e]`, `[.5]`, `0e`, `0E+`, `∞`, `½`, `$1`, `1%`,
		// strings that are none
		`"`, `"a`, `"\"`, `'a'`, "`a`", `"\x41"`, `"\a"`, `"\v"`, `"\0"`, `"\'"`, `"\e"`, `"\u"`, `"\u1"`, `"\u12"`, `"\u123"`, `"\u123g"`, `"\U0041"`, `"\u{41}"`, `"\u 041"`, `"\ "`, "\"\\\n\"", "\"\n\"", "\"\t\"", "\"\x00\"", "\"\x1f\"", "\"a\rb\"", `"\uD834"`, `"\uDD1E"`, `"\uD834\u0041"`, `"\uDD1E\uD834"`, `"\uD834x"`, `"a"b`, `a"`, `“a”`, `"\é"`, `"\uqqqq"`, `"\u00A"`, `["a]`, `["a`, `\u0022a\u0022`, `"a" "b"`, `"\\\"`, `"𝄞\"`,
		// not UTF-8
		"\"\xff\"", "\"\xc0\xaf\"", "\"\xe2\x82\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xf8\x88\x80\x80\x80\"", "\"\x80\"", "\"a\xe9\"", "\"\xfe\xff\"", "\"\xc3\"", "\xff", "[\xe9]", "\"\xf0\x9d\x84\"", "\"\xed\xbf\xbf\"", "\"\xc1\xbf\"",
		// arrays that are none
		`[`, `]`, `[1`, `[1,`, `[1,]`, `[,]`, `[,1]`, `[1,,2]`, `[1 2]`, `[1;2]`, `[1:2]`, `[[]`, `[]]`, `[}`, `(1)`, `[1}`, `["a",`, `[""`, `[[[[`, `[,`, `[1,2`, `[{}`, `[a`, `[*]`, `<1>`, `[1,]]`, "[1,\n", `["a"` + "\n", `[/]`, `[1]x`, `[,""]`, `[null,]`, `[{]}`, `[{"a":1]`,
		// objects that are none
		`{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{,"a":1}`, `{"a" 1}`, `{"a"=1}`, `{"a",1}`, `{"a"::1}`, `{"a":1 "b":2}`, `{"a":1;"b":2}`, `{a:1}`, `{'a':1}`, `{1:1}`, `{null:1}`, `{[]:1}`, `{"a":}`, `{:1}`, `{"a":1,,"b":2}`, `{"a":1]`, `{]`, `{"a":/*c*/1}`, `{"a":1}}`[:8] + `}`, `{"a`, `{"\u":1}`, `{"a"}`, `{"a":"b"`, `{"a":"b`, `{"a":a}`, `{"a":1,"b"}`, `{"a":1,"b":}`, `{{}}`, `{"a":{}`, `{"x"::"b"}`, `{🎄:1}`, "{\"\xff\":1}", `{"a":1,1}`, `{"a":"b",}`, `{ "a" : 1 ,`,
		// names that are there twice
		`{"a":1,"a":1}`, `{"a":1,"b":2,"a":3}`, `{"x":{"a":1,"a":2}}`, `[{"a":1,"a":2}]`, `{"a":1,"\u0061":2}`, `{"":1,"":2}`, `{"a":{},"a":[]}`, `{"é":1,"\u00e9":2}`,
		// what is no value at all
		`,`, `:`, `*`, `#`, `//`, `/**/`, `// c`, `/* c */ 1`, `1 // c`, `# c`, `<a/>`, `a: 1`, `--- 1`, "\u2060", "\u00a0", "\u3000", "\ufeff", `\`, `\n`, `;`, `!`, `&a`, `@`, `%`, "\x00", "\x0c[]", "[]\x0b", "\u2028", "[\u00a0]", "\x1e{}", "\ufeff{}", "{}\x00",
		// deeper than anybody needs
		strings.Repeat("[", 33) + strings.Repeat("]", 33), strings.Repeat(`{"a":`, 33) + "1" + strings.Repeat("}", 33), strings.Repeat("[", 100_000), strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000),
		strings.Repeat(`{"a":`, 100_000), strings.Repeat(`[{"a":`, 50_000), strings.Repeat("[{", 1000),
	},
}

// documents are whole bodies that are no JSON, although each part of them is.
var documents = []string{
	`{} {}`, `{}{}`, `[] []`, `1 2`, `"a" 1`, `null null`, `{},`, `{};`, `{}]`, `{}}`, `{}x`, `{}"`, `{}1`, `{}//`, `{}/**/`, "{}\n{}", `,{}`, `x{}`, `]{}`, "\ufeff{}", "{}\ufeff", `"a":1`, `"a","b"`, `1,2`, "{}\x00", "\x00{}", `data: {}`, `)]}',{}`, `{}` + "\x1e{}",
}

// door is where JSON comes in, with an object around the value under test that is accepted
// whenever the value is JSON.
type door struct {
	method, url, bearer string
	around              [2]string
}

// send sends a body and returns the answer. What a body costs is measured with bombs.
func (d door) send(t *testing.T, p *apptest.Product, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), d.method, d.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+d.bearer)
	res, err := p.Client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestJSONIsReadAsTheStandardHasIt(t *testing.T) {
	t.Parallel()
	p := apptest.Start(t)
	bearer := p.Application(t, "stranger", "/", "Key Vault Administrator", "Administrator")
	subscription := wire.SubscriptionOf(p.Directory.Tenant())
	for name, d := range map[string]door{
		"key vault": {method: "PUT", url: p.VaultURL("default") + "/secrets/json?api-version=7.6", bearer: bearer, around: [2]string{`{"value":"x","unknown":`, `}`}},
		"api":       {method: "POST", url: p.URL + "/api/v1/requests", bearer: bearer, around: [2]string{`{"unknown":`, `}`}},
		"arm":       {method: "POST", url: p.URL + "/subscriptions/" + subscription + "/providers/Microsoft.KeyVault/checkNameAvailability?api-version=2022-07-01", bearer: bearer, around: [2]string{`{"name":"x","type":"Microsoft.KeyVault/vaults","unknown":`, `}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			count := 0
			check := func(body string, good, inside bool) {
				count++
				status, answer := d.send(t, p, body)
				switch syntax := strings.Contains(answer, "not valid JSON"); {
				case status >= 500 || status == http.StatusUnauthorized || status == http.StatusForbidden:
					t.Errorf("%.80q: %d %s", body, status, answer)
				case good && syntax:
					t.Errorf("%.80q is JSON: %d %s", body, status, answer)
				case !good && status != http.StatusBadRequest, !good && inside && !syntax: // alone it may be refused for being no object
					t.Errorf("%.80q is no JSON: %d %s", body, status, answer)
				}
			}
			for good, list := range values {
				for _, v := range list {
					check(v, good, false)
					check(d.around[0]+v+d.around[1], good, true)
				}
			}
			for _, body := range documents {
				check(body, false, false)
			}
			t.Logf("%d bodies", count)
			if count < 500 {
				t.Errorf("only %d bodies", count)
			}
		})
	}
}

// The generators of JSON that costs much to read (reliability §2 row 6).
var generators = map[string]func(size int) string{
	"deep arrays":  func(n int) string { return strings.Repeat("[", n/2) + strings.Repeat("]", n/2) },
	"deep objects": func(n int) string { return strings.Repeat(`{"a":`, n/6) + "1" + strings.Repeat("}", n/6) },
	"many members": func(n int) string {
		return "{" + list(n, func(i int) string { return fmt.Sprintf(`"m%d":%d`, i, i) }) + "}"
	},
	"one name": func(n int) string { return "{" + list(n, func(int) string { return `"value":1` }) + "}" },
	"many elements": func(n int) string {
		return `{"value":"x","unknown":[` + list(n, func(int) string { return "0" }) + "]}"
	},
	"many empty arrays": func(n int) string {
		return `{"value":"x","unknown":[` + list(n, func(int) string { return "[]" }) + "]}"
	},
	"a long number":   func(n int) string { return `{"value":"x","attributes":{"exp":` + strings.Repeat("9", n) + "}}" },
	"a long exponent": func(n int) string { return `{"value":"x","attributes":{"exp":1e` + strings.Repeat("9", n) + "}}" },
	"escapes":         func(n int) string { return `{"value":"` + strings.Repeat(`\u0041`, n/6) + `"}` },
	"one tag": func(n int) string {
		return `{"value":"x","tags":{"` + strings.Repeat(`\ud834\udd1e`, n/12) + `":"` + strings.Repeat("x", n/2) + `"}}`
	},
	"many tags": func(n int) string {
		return `{"value":"x","tags":{` + list(n, func(i int) string { return fmt.Sprintf(`"t%d":"v"`, i) }) + "}}"
	},
	"a half string": func(n int) string { return `{"value":"` + strings.Repeat(`\"`, n/2) },
	"spaces":        func(n int) string { return strings.Repeat(" ", n) + "{" },
}

func list(size int, item func(i int) string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(item(i))
	}
	return b.String()
}
