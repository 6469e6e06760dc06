//go:build race

package pfx

// slower is how much longer things take under the race detector.
const slower = 5
