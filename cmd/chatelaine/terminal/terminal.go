// Package terminal writes what verbs answer: tables for people, JSON for programs, and
// progress for who waits.
package terminal

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// Format is how results are written.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
)

// Set implements pflag.Value.
func (f *Format) Set(s string) error {
	switch Format(s) {
	case Table, JSON:
		*f = Format(s)
		return nil
	}
	return fmt.Errorf("want %s or %s", Table, JSON)
}

// String implements pflag.Value.
func (f *Format) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *Format) Type() string { return "format" }

// Terminal is where a verb writes: results to Out, everything else to Err.
type Terminal struct {
	Out, Err io.Writer
	Format   Format
}

// Column is one column of a table, or one line of a single object.
type Column[T any] struct {
	Name string
	Of   func(T) string
}

// Rows writes a table with a line for each value. Without any it writes nothing but the
// note that there are none, to Err.
func Rows[T any](t Terminal, values []T, columns []Column[T]) {
	if len(values) == 0 {
		fmt.Fprintln(t.Err, "nothing found")
		return
	}
	w := plain(t.Out)
	head := table.Row{}
	for _, c := range columns {
		head = append(head, c.Name)
	}
	w.AppendHeader(head)
	for _, v := range values {
		row := table.Row{}
		for _, c := range columns {
			row = append(row, orDash(Clean(c.Of(v))))
		}
		w.AppendRow(row)
	}
	w.Render()
}

// Fields writes one object, a line for each field that is not empty.
func Fields[T any](t Terminal, value T, columns []Column[T]) {
	w := plain(t.Out)
	for _, c := range columns {
		lines := strings.Split(c.Of(value), "\n")
		for i, line := range lines {
			switch {
			case line == "":
			case i == 0:
				w.AppendRow(table.Row{c.Name, Clean(line)})
			default:
				w.AppendRow(table.Row{"", Clean(line)})
			}
		}
	}
	w.Render()
}

// plain is a table without lines.
func plain(out io.Writer) table.Writer {
	w := table.NewWriter()
	w.SetOutputMirror(out)
	w.SuppressTrailingSpaces()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "   "
	style.Format.Header = text.FormatUpper
	w.SetStyle(style)
	return w
}

// WriteJSON writes a value, indented.
func (t Terminal) WriteJSON(v any) error {
	e := json.NewEncoder(t.Out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Clean takes from a text of strangers what a terminal would obey: control characters,
// and those that turn the direction of writing.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// IsTerminal reports whether somebody watches what is written.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) // #nosec G115 -- a file descriptor is small
}
