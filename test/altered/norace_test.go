//go:build !race

package altered

const raced = false
