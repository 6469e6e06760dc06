package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrTampered says that the trail is not what was written.
var ErrTampered = errors.New("the audit trail was altered")

// Head is the end of the chain.
type Head struct {
	Sequence int64
	Hash     [sha256.Size]byte
}

// Segment is the records of one commit, as they are stored, and not believed before
// records has checked them.
type Segment struct {
	First, Last int64     // sequences
	Time        time.Time // of the newest record
	Terms       []byte    // Bloom filter of what the records can be found by; empty means that it has to be read
	Hash        []byte    // of the last record
	Body        string    // one record a line
}

// maxSegment bounds the records of a segment.
const maxSegment = 1024

// Chain numbers and chains entries behind a head, in one segment or, where they are very
// many, in several. The hash of a record is SHA-256 over its predecessor's and its line.
func Chain(head Head, entries []Entry) ([]Segment, Head) {
	segments := make([]Segment, 0, 1+len(entries)/maxSegment)
	for len(entries) > 0 {
		n := min(len(entries), maxSegment)
		var s Segment
		s, head = chain(head, entries[:n])
		segments = append(segments, s)
		entries = entries[n:]
	}
	return segments, head
}

func chain(head Head, entries []Entry) (Segment, Head) {
	size, count := 0, 0
	for _, e := range entries {
		size += len(e.body) + 40
		count += len(e.terms)
	}
	s := Segment{First: head.Sequence + 1}
	var body strings.Builder
	body.Grow(size)
	line := make([]byte, 0, 1024)
	terms := make([]term, 0, count)
	for _, e := range entries {
		head.Sequence++
		line = e.line(line[:0], head.Sequence)
		head.Hash = link(head.Hash, line)
		line = append(line, '\n')
		body.Write(line)
		terms = append(terms, e.terms...)
		if e.time.After(s.Time) {
			s.Time = e.time
		}
	}
	s.Last, s.Hash, s.Terms, s.Body = head.Sequence, bytes.Clone(head.Hash[:]), filterOf(terms), body.String()
	return s, head
}

func link(previous [sha256.Size]byte, line []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(previous[:])
	h.Write(line)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return sum
}

// records reads the segment without following the chain. Its first and last sequence are
// checked, so that a body cannot stand in for another.
func (s Segment) records() ([]Record, error) {
	list := make([]Record, 0, s.Last-s.First+1)
	for line := range strings.Lines(s.Body) {
		var r Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, fmt.Errorf("records %d to %d: %w: %w", s.First, s.Last, err, ErrTampered)
		}
		if want := s.First + int64(len(list)); r.Sequence != want || want > s.Last {
			return nil, fmt.Errorf("record %d stands where %d belongs: %w", r.Sequence, want, ErrTampered)
		}
		list = append(list, r)
	}
	if s.First+int64(len(list)) != s.Last+1 {
		return nil, fmt.Errorf("records %d to %d are %d: %w", s.First, s.Last, len(list), ErrTampered)
	}
	return list, nil
}

// follow checks that the segment continues the chain at head, record for record, and that
// its columns say what its body says. each, if not nil, is told the head after every record.
func (s Segment) follow(head Head, each func(Head) error) (Head, error) {
	if s.First != head.Sequence+1 {
		return head, fmt.Errorf("record %d is followed by %d: %w", head.Sequence, s.First, ErrTampered)
	}
	list, err := s.records()
	if err != nil {
		return head, err
	}
	var newest time.Time
	var terms []term
	i := 0
	for line := range strings.Lines(s.Body) {
		head.Sequence, head.Hash = list[i].Sequence, link(head.Hash, []byte(strings.TrimSuffix(line, "\n")))
		if err := each(head); err != nil {
			return head, err
		}
		terms = append(terms, termsOf(list[i])...)
		if list[i].Time.After(newest) {
			newest = list[i].Time
		}
		i++
	}
	switch {
	case !bytes.Equal(head.Hash[:], s.Hash):
		return head, fmt.Errorf("records %d to %d do not follow from their predecessors: %w", s.First, s.Last, ErrTampered)
	case !newest.Equal(s.Time), len(s.Terms) > 0 && !bytes.Equal(s.Terms, filterOf(terms)):
		return head, fmt.Errorf("records %d to %d: a column was changed: %w", s.First, s.Last, ErrTampered)
	}
	return head, nil
}
