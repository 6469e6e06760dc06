package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// anyRecord draws records that check accepts.
func anyRecord(t *rapid.T) Record {
	path := rapid.StringMatching(`(/[a-c]{1,2}){1,4}`)
	r := Record{
		Time:      time.UnixMicro(rapid.Int64Range(1, 1<<52).Draw(t, "time")).UTC(),
		Operation: rapid.SampledFrom([]string{"SecretGet", "SecretSet", "KeySign"}).Draw(t, "operation"),
		Target:    path.Draw(t, "target"), Outcome: rapid.SampledFrom([]Outcome{Success, Denied, Failed}).Draw(t, "outcome"),
		Principal: rapid.SampledFrom([]string{"p", "q"}).Draw(t, "principal"), Agent: rapid.String().Draw(t, "agent"), Name: rapid.String().Draw(t, "name"),
	}
	for _, f := range rapid.SliceOfDistinct(rapid.SampledFrom([]Field{Version, Algorithm, Reason, Count}), rapid.ID[Field]).Draw(t, "details") {
		if r.Details == nil {
			r.Details = map[Field]string{}
		}
		r.Details[f] = rapid.String().Draw(t, "detail")
	}
	return r
}

func TestEntriesAreTheRecordsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRecord(t)
		e, err := entryOf(r)
		if err != nil {
			t.Fatal(err)
		}

		var back Record
		line := e.line(nil, 7)
		if err := json.Unmarshal(line, &back); err != nil {
			t.Fatalf("%s: %v", line, err)
		}

		r.Sequence = 7
		if d := cmp.Diff(r, back); d != "" {
			t.Fatalf("%s\n%s", line, d)
		}
		var want, got bytes.Buffer
		standard, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if json.Compact(&want, standard) != nil || json.Compact(&got, line) != nil {
			t.Fatal("no JSON")
		}
		if !strings.ContainsAny(got.String(), `<>&`+"\u2028\u2029\ufffd") && want.String() != got.String() {
			t.Fatalf("got  %s\nwant %s", got.String(), want.String())
		}
	})
}

// A text that is no UTF-8 must neither break the line nor fail the operation.
func TestBytesThatAreNoTextAreReplaced(t *testing.T) {
	e, err := entryOf(Record{Operation: "o", Target: "/t", Outcome: Success, Principal: "p", Agent: "a\xff\"\n"})
	if err != nil {
		t.Fatal(err)
	}
	var back Record
	if err := json.Unmarshal(e.line(nil, 1), &back); err != nil || back.Agent != "a\ufffd\"\n" {
		t.Errorf("%q, %v", back.Agent, err)
	}
}

func TestFilterFindsWhatIsInAndPassesOverMostOfTheRest(t *testing.T) {
	var all []term
	for i := range 500 {
		all = append(all, termsOf(Record{Operation: "SecretGet", Target: fmt.Sprintf("/vaults/a/secrets/s%d", i), Principal: "p", Outcome: Success})...)
	}
	filter := filterOf(slices.Clone(all))
	for _, x := range all {
		if !mayHold(filter, []term{x}) {
			t.Fatalf("%x is in it, and the filter says no", x)
		}
	}
	wrong := 0
	for i := range 10_000 {
		if mayHold(filter, []term{termOf(aboutTarget, fmt.Sprintf("/vaults/b/keys/%d", i))}) {
			wrong++
		}
	}
	if wrong > 100 {
		t.Errorf("%d of 10000 absent terms are let through", wrong)
	}
}

// What a query finds by filters is what it finds by looking at every record.
func TestQueriesAskForNoTermThatAMatchingRecordLacks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRecord(t)
		q := Query{Target: rapid.StringMatching(`(/[a-c]{1,2}){0,4}/?`).Draw(t, "below")}
		if rapid.Bool().Draw(t, "by operation") {
			q.Operation = "SecretGet"
		}
		if rapid.Bool().Draw(t, "by principal") {
			q.Principal = "p"
		}
		if q.wants(r) && !mayHold(filterOf(termsOf(r)), q.terms()) {
			t.Fatalf("%+v matches %+v, and its filter says no", r, q)
		}
	})
}

func TestVeryLargeCommitsBecomeSeveralSegments(t *testing.T) {
	e, err := entryOf(Record{Operation: "o", Target: "/t", Outcome: Success, Principal: "p"})
	if err != nil {
		t.Fatal(err)
	}
	segments, end := Chain(Head{}, slices.Repeat([]Entry{e}, 2*maxSegment+1))

	head := Head{}
	for _, s := range segments {
		if head, err = s.follow(head, func(Head) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if len(segments) != 3 || head != end || end.Sequence != 2*maxSegment+1 {
		t.Errorf("%d segments, head %d, end %d", len(segments), head.Sequence, end.Sequence)
	}
}

func BenchmarkRecord(b *testing.B) {
	r := Record{
		Time: time.Now(), Operation: "SecretGet", Target: "/vaults/default/secrets/database-password", Outcome: Success,
		Principal: "5c3f9a52-9d4e-4b1f-8a53-7a2f0f1f4b6a", Name: "shop", Application: "5c3f9a52-9d4e-4b1f-8a53-7a2f0f1f4b6a",
		Address: "127.0.0.1", Agent: "azsdk-go-azsecrets/v1.5.1", Correlation: "5c3f9a52-9d4e-4b1f-8a53-7a2f0f1f4b6a",
		Details: map[Field]string{Version: "0123456789abcdef0123456789abcdef", APIVersion: "2026-04-01"},
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := r.check(); err != nil {
			b.Fatal(err)
		}
		if _, err := entryOf(r); err != nil {
			b.Fatal(err)
		}
	}
}
