// Package house has no code: its tests hold the rules that the whole tree obeys. Who may
// import whom (imports_test.go is the architecture), how large things may grow, how they
// are named, what is documented, and that nothing changes behind a caller's back.
package house
