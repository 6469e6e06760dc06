package audit

import (
	"math/bits"
	"slices"
	"strings"
)

// term is the hash of something that a record can be found by.
type term uint64

// What a term is about.
const (
	aboutOperation = 'o'
	aboutTarget    = 't' // the target, or a path above it
	aboutPrincipal = 'p'
	aboutOutcome   = 'u'
)

// termOf is the FNV-1a hash, which stays the same for ever: it is stored.
func termOf(about byte, text string) term {
	const offset, prime = 14695981039346656037, 1099511628211
	h := (uint64(offset) ^ uint64(about)) * prime
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * prime
	}
	return term(h)
}

// termsOf are the terms of a record: with the target, every path above it.
func termsOf(r Record) []term {
	terms := make([]term, 0, 8)
	terms = append(terms, termOf(aboutOperation, r.Operation), termOf(aboutPrincipal, r.Principal), termOf(aboutOutcome, string(r.Outcome)))
	for path := strings.TrimSuffix(r.Target, "/"); path != ""; {
		terms = append(terms, termOf(aboutTarget, path))
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			break
		}
		path = path[:i]
	}
	return terms
}

// terms are those that every record of an answer must have.
func (q Query) terms() []term {
	var terms []term
	for _, f := range []struct {
		about byte
		text  string
	}{
		{aboutOperation, q.Operation}, {aboutTarget, strings.TrimSuffix(q.Target, "/")},
		{aboutPrincipal, q.Principal}, {aboutOutcome, string(q.Outcome)},
	} {
		if f.text != "" {
			terms = append(terms, termOf(f.about, f.text))
		}
	}
	return terms
}

// Filter of Bloom: twelve bits a term and four probes let one of three hundred through
// that is not in it.
const (
	bitsPerTerm = 12
	probes      = 4
)

// filterOf is the Bloom filter of some terms. It depends on their set alone, so that it
// can be computed again and compared.
func filterOf(terms []term) []byte {
	slices.Sort(terms)
	terms = slices.Compact(terms)
	size := max(64, 1<<bits.Len(uint(len(terms)*bitsPerTerm-1)))
	filter := make([]byte, size/8)
	for _, t := range terms {
		for i := range uint64(probes) {
			bit := t.probe(i) & uint64(size-1)
			filter[bit/8] |= 1 << (bit % 8)
		}
	}
	return filter
}

func (t term) probe(i uint64) uint64 { return uint64(t) + i*(uint64(t)>>32|1) }

// mayHold reports whether a filter may have all the terms. An empty filter knows nothing.
func mayHold(filter []byte, terms []term) bool {
	size := uint64(len(filter)) * 8
	if size == 0 || size&(size-1) != 0 {
		return true
	}
	for _, t := range terms {
		for i := range uint64(probes) {
			if bit := t.probe(i) & (size - 1); filter[bit/8]&(1<<(bit%8)) == 0 {
				return false
			}
		}
	}
	return true
}
