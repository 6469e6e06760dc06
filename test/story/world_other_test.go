//go:build !linux

package story

// Elsewhere there are no namespaces: the stories run among everything else.
func enter(...string) (code int, entered bool) { return 0, false }

func furnish() {}
