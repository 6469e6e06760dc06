//go:build race

package altered

// raced says that the race detector is on, which makes the database fifteen times slower.
const raced = true
