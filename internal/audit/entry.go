package audit

import (
	"encoding/json/jsontext"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Entry is a record that is ready to be chained: its canonical JSON but for the sequence,
// which the commit gives it. Whoever records makes it, so that the one who commits for all
// has little to do.
type Entry struct {
	time  time.Time
	body  []byte // what follows {"sequence":N,
	terms []term
}

// entryOf encodes a checked record. The form is that of encoding/json, with the details
// sorted.
func entryOf(r Record) (Entry, error) {
	e := Entry{time: r.Time.UTC().Truncate(time.Microsecond), terms: termsOf(r)}
	w := writer{b: make([]byte, 0, 512)}
	w.b = append(w.b, `"time":"`...)
	w.b = append(e.time.AppendFormat(w.b, time.RFC3339Nano), '"')
	w.text(`,"operation":`, r.Operation)
	w.text(`,"target":`, r.Target)
	w.text(`,"outcome":`, string(r.Outcome))
	w.text(`,"principal":`, r.Principal)
	w.optional(`,"name":`, r.Name)
	w.optional(`,"application":`, r.Application)
	w.optional(`,"address":`, r.Address)
	w.optional(`,"agent":`, r.Agent)
	w.optional(`,"correlation":`, r.Correlation)
	if len(r.Details) > 0 {
		names := make([]Field, 0, maxDetails)
		for f := range r.Details {
			names = append(names, f)
		}
		slices.Sort(names)
		separator := `,"details":{`
		for _, f := range names {
			w.b = append(append(append(w.b, separator...), '"'), f...)
			w.text(`":`, r.Details[f])
			separator = ","
		}
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, '}')
	e.body = w.b
	return e, w.err
}

// writer appends JSON.
type writer struct {
	b   []byte
	err error
}

// text appends a string. Bytes that are no UTF-8, as an agent may send them, become
// replacement characters.
func (w *writer) text(before, s string) {
	w.b = append(w.b, before...)
	b, err := jsontext.AppendQuote(w.b, strings.ToValidUTF8(s, "\uFFFD"))
	if err != nil && w.err == nil {
		w.err = err
	}
	w.b = b
}

func (w *writer) optional(before, s string) {
	if s != "" {
		w.text(before, s)
	}
}

// line is the entry's JSON with its sequence.
func (e Entry) line(b []byte, sequence int64) []byte {
	b = append(b, `{"sequence":`...)
	b = strconv.AppendInt(b, sequence, 10)
	b = append(b, ',')
	return append(b, e.body...)
}
