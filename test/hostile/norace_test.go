//go:build !race

package hostile

const pace = 1
