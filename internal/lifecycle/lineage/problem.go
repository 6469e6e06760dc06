package lineage

import (
	"strings"

	"chatelaine.dev/internal/fault"
)

const maxProblem = 3000 // bytes

// Problem is an error as people may read it: what the fault says, in front of it what was
// done. The causes behind a fault stay in the log.
func Problem(err error) string {
	f := fault.Of(err)
	text := f.Message
	if before, _, ok := strings.Cut(err.Error(), ": "+f.Error()); ok && f.Kind != fault.Internal {
		text = before + ": " + text
	}
	if len(text) > maxProblem {
		text = strings.ToValidUTF8(text[:maxProblem], "") + "…"
	}
	return text
}

// Passing reports whether an error may be gone a little later.
func Passing(err error) bool {
	switch fault.Of(err).Kind {
	case fault.Unavailable, fault.Limited, fault.Internal:
		return true
	}
	return false
}
