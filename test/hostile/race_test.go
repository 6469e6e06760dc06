//go:build race

package hostile

// pace is how much longer everything may take: the race detector is on.
const pace = 10
