//go:build !race

package pfx

const slower = 1
