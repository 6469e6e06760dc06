// Package page draws the pages of the console. Each file holds one page: what it shows,
// as plain values that are ready to read, and its drawing. Nothing here asks a service.
package page
