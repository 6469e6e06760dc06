package filter

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"chatelaine.dev/internal/fault"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func at(d time.Duration) int64 { return now.Add(d).UnixMicro() }

func cmpNode(f Field, op Op, c Cmp) Cmp {
	c.Field, c.Op = f, op
	return c
}

func TestParse(t *testing.T) {
	expired := cmpNode(Expires, Lt, Cmp{High: at(0)})
	rsa := cmpNode(Key, Eq, Cmp{Text: "rsa"})
	small := cmpNode(KeySize, Lt, Cmp{High: 2048})
	for in, want := range map[string]Node{
		"":                                All{},
		"  ":                              All{},
		"expires < 90d":                   cmpNode(Expires, Lt, Cmp{High: at(90 * day)}),
		"expires <= 90d":                  cmpNode(Expires, Lt, Cmp{High: at(90*day) + 1}),
		"lastseen < -7d":                  cmpNode(LastSeen, Lt, Cmp{High: at(-7 * day)}),
		"firstseen >= -2w":                cmpNode(FirstSeen, Ge, Cmp{Low: at(-14 * day)}),
		"EXPIRES<now":                     expired,
		"expires = 2027-03-15":            cmpNode(Expires, Within, Cmp{Low: time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC).UnixMicro(), High: time.Date(2027, 3, 16, 0, 0, 0, 0, time.UTC).UnixMicro()}),
		"expires > 2027-03-15":            cmpNode(Expires, Ge, Cmp{Low: time.Date(2027, 3, 16, 0, 0, 0, 0, time.UTC).UnixMicro()}),
		`issued = "2026-01-01T00:00:00Z"`: cmpNode(Issued, Within, Cmp{Low: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), High: time.Date(2026, 1, 1, 0, 0, 0, 1000, time.UTC).UnixMicro()}),
		"lifetime > 398d":                 cmpNode(Lifetime, Ge, Cmp{Low: 398*86400 + 1}),
		"key = RSA":                       rsa,
		"key != RSA":                      Not{rsa},
		"not key = rsa":                   Not{rsa},
		"key=rsa and keysize<2048":        And{rsa, small},
		"key=rsa or keysize<2048 and expires < now":   Or{rsa, And{small, expired}},
		"(key=rsa or keysize<2048) and expires < now": And{Or{rsa, small}, expired},
		"not (key=rsa and not keysize<2048)":          Not{And{rsa, Not{small}}},
		"selfsigned":                                  cmpNode(SelfSigned, Eq, Cmp{Bool: true}),
		"not selfsigned and wildcard":                 And{Not{cmpNode(SelfSigned, Eq, Cmp{Bool: true})}, cmpNode(Wildcard, Eq, Cmp{Bool: true})},
		"revoked = no":                                cmpNode(Revoked, Eq, Cmp{}),
		`issuer ~ "Let's \"Encrypt\""`:                cmpNode(Issuer, Contains, Cmp{Text: `let's "encrypt"`}),
		"name ~ münchen":                              cmpNode(Name, Contains, Cmp{Text: "münchen"}),
		"serial = 00:0A:bc":                           cmpNode(Serial, Eq, Cmp{Text: "0abc"}),
		"serial = 0":                                  cmpNode(Serial, Eq, Cmp{Text: "00"}),
		"serial ~ 0A:bc":                              cmpNode(Serial, Contains, Cmp{Text: "0abc"}),
		"grade = B":                                   cmpNode(Grade, Within, Cmp{Low: 80, High: 90}),
		"grade < b":                                   cmpNode(Grade, Lt, Cmp{High: 80}),
		"grade >= C":                                  cmpNode(Grade, Ge, Cmp{Low: 65}),
		"grade <= 70":                                 cmpNode(Grade, Lt, Cmp{High: 71}),
		"port = 443":                                  cmpNode(Port, Within, Cmp{Low: 443, High: 444}),
		"stage = Managed":                             cmpNode(Stage, Eq, Cmp{Text: "managed"}),
		"status = expired":                            cmpNode(Status, Eq, Cmp{Text: "expired", Now: now.UnixMicro()}),
		"owner = \"\"":                                cmpNode(Owner, Eq, Cmp{}),
	} {
		got, err := Parse(in, now)

		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
}

func TestErrorsPointAtTheColumn(t *testing.T) {
	for in, want := range map[string]string{
		"expire < 90d":                         "column 1: there is no field 'expire'; did you mean expires?",
		"xyzzyx = 1":                           "column 1: there is no field 'xyzzyx'",
		"expires < ":                           "column 11: expected a value for expires, not the end",
		"expires 90d":                          "column 9: expected an operator after expires, not '90d'",
		"expires < soon":                       "column 11: expires is a time",
		"key = rsa key = ec":                   "column 11: expected and, or or the end, not 'key'",
		"(key = rsa":                           "column 11: expected ) for the ( at column 1, not the end",
		"key = rsa)":                           "column 10: expected and, or or the end, not ')'",
		`name = "x`:                            "column 8: this quote is never closed",
		"name < a":                             "column 6: name has no order; use =, != or ~",
		"stage < managed":                      "column 7: stage has no order; use = or !=",
		"stage ~ man":                          "column 7: stage is no text, so ~ does not work; use =",
		"stage = mannaged":                     "column 9: stage is one of discovered, monitored, managed, not 'mannaged'",
		"ünïcode = 1":                          "column 1: there is no field 'ünïcode'",
		`name = "ü" and keysize < big`:         "column 26: keysize is a whole number, not 'big'",
		"keysize < 99999999999":                "column 11: keysize is a whole number",
		"grade < 101":                          "column 9: grade is 0 to 100",
		"lifetime > -3d":                       "column 12: lifetime is a duration",
		"expires < 99999999999999d":            "column 11: expires is a time",
		"sha256 = xyz":                         "column 10: sha256 is written in hex digits, not 'xyz'",
		"revoked = maybe":                      "column 11: revoked is true or false, not 'maybe'",
		"name ~ \"\"":                          "column 8: every text contains nothing",
		"and":                                  "column 1: expected a condition, not 'and'",
		"name = = x":                           "column 8: expected a value for name, not '='",
		"! selfsigned":                         "column 1: '!' alone means nothing",
		"name == x":                            "column 7: expected a value for name, not '='",
		"name = \"a\x00\"":                     "column 10: a control character",
		"\xff":                                 "column 1: not UTF-8",
		strings.Repeat("(", 40) + "selfsigned": "column 33: more than 32",
		strings.Repeat("not ", 40) + "selfsigned":            "column 129: more than 32",
		strings.Repeat("selfsigned or ", 100) + "selfsigned": "column 1401: more than 100 conditions",
		"name = " + strings.Repeat("x", MaxLength):           "column 1: 4103 bytes are too long",
	} {
		_, err := Parse(in, now)

		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", in, err, want)
		}
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%.60q: not fault.Invalid", in)
		}
	}
}

func TestEveryFieldParsesAndIsExplained(t *testing.T) {
	values := map[kind]string{text: "x", hexText: "ab", integer: "1", period: "1d", instant: "now", boolean: "true", score: "50"}
	for _, d := range definitions() {
		v := values[d.kind]
		if d.kind == enum {
			v = d.options[0]
		}
		for _, op := range []string{"=", "!=", "<", "<=", ">", ">=", "~"} {
			_, err := Parse(string(d.Field)+op+v, now)

			want := op == "=" || op == "!=" || op == "~" && d.contains() || op != "~" && d.ordered()
			if (err == nil) != want {
				t.Errorf("%s %s %s: %v", d.Field, op, v, err)
			}
		}
		if d.Help == "" {
			t.Errorf("%s is not explained", d.Field)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "a", "expires < 90d and not (issuer ~ \"x\\\"\" or stage = managed)", "((((", "name='", "!", "port>=\t7"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Parse(s, now)
		var e *Error
		switch {
		case err == nil && n == nil:
			t.Error("neither a filter nor an error")
		case err != nil && !errors.As(err, &e):
			t.Errorf("error without a column: %v", err)
		case err != nil && (e.Column < 1 || e.Column > len(s)+1):
			t.Errorf("column %d of %d", e.Column, len(s))
		}
	})
}
