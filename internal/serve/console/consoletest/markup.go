package consoletest

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/net/html"
)

// Document is a parsed page.
type Document struct {
	root *html.Node
	ids  map[string]int
}

// Parse reads a page or a fragment of one.
func Parse(page []byte) (*Document, error) {
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		return nil, err
	}
	d := &Document{root: root, ids: map[string]int{}}
	for n := range root.Descendants() {
		if id := Attr(n, "id"); id != "" {
			d.ids[id]++
		}
	}
	return d, nil
}

// Attr is an attribute of an element, or empty.
func Attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

// All are the elements of one name, in the order of the page.
func (d *Document) All(element string) []*html.Node {
	var out []*html.Node
	for n := range d.root.Descendants() {
		if n.Type == html.ElementNode && n.Data == element {
			out = append(out, n)
		}
	}
	return out
}

// ByID is the element with an id, or nil.
func (d *Document) ByID(id string) *html.Node {
	for n := range d.root.Descendants() {
		if n.Type == html.ElementNode && Attr(n, "id") == id {
			return n
		}
	}
	return nil
}

// Text is what a reader reads in an element, with single spaces.
func Text(n *html.Node) string {
	if n == nil {
		return ""
	}
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
			b.WriteByte(' ')
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// Links are the addresses that the page leads to on its own site.
func (d *Document) Links() []string {
	var out []string
	for _, a := range d.All("a") {
		if href := Attr(a, "href"); strings.HasPrefix(href, "/") {
			out = append(out, href)
		}
	}
	return out
}

// Problems are what keeps a page from being safe under the content security policy and
// usable without eyes or mouse. An empty list is a good page.
func (d *Document) Problems() []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for id, n := range d.ids {
		if n > 1 {
			say("id %q is there %d times", id, n)
		}
	}
	level := 0
	for n := range d.root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		d.policy(n, say)
		d.references(n, say)
		d.named(n, say)
		if len(n.Data) == 2 && n.Data[0] == 'h' && n.Data[1] >= '1' && n.Data[1] <= '6' && !within(n, "nav") && !within(n, "dialog") {
			if next := int(n.Data[1] - '0'); next > level+1 {
				say("heading h%d %q follows h%d", next, Text(n), level)
			} else {
				level = next
			}
		}
		if n.Data == "table" {
			d.table(n, say)
		}
	}
	return append(out, d.frame()...)
}

// frame checks what a whole page has once.
func (d *Document) frame() []string {
	var out []string
	for element, want := range map[string]int{"h1": 1, "main": 1, "title": 1} {
		if got := len(d.All(element)); got < want || element != "title" && got > want { // an SVG has titles too
			out = append(out, fmt.Sprintf("%d elements %s, want %d", got, element, want))
		}
	}
	if h := d.All("html"); len(h) == 1 && Attr(h[0], "lang") == "" {
		out = append(out, "html without lang")
	}
	return out
}

// addresses are the attributes that a browser follows.
var addresses = map[string]bool{
	"href": true, "xlink:href": true, "src": true, "action": true, "formaction": true, "data": true, "poster": true,
	"hx-get": true, "hx-post": true, "hx-put": true, "hx-delete": true, "hx-patch": true,
}

// policy: nothing that a strict content security policy refuses.
func (d *Document) policy(n *html.Node, say func(string, ...any)) {
	if n.Data == "style" || n.Data == "script" && Attr(n, "src") == "" || n.Data == "iframe" || n.Data == "object" || n.Data == "base" {
		say("element %s", n.Data)
	}
	for _, a := range n.Attr {
		value := strings.ToLower(strings.TrimSpace(a.Val))
		switch {
		case a.Key == "style", strings.HasPrefix(a.Key, "on"), strings.HasPrefix(a.Key, "hx-on"):
			say("attribute %s=%q of %s", a.Key, a.Val, n.Data)
		case addresses[a.Key] && (strings.HasPrefix(value, "javascript:") || strings.HasPrefix(value, "vbscript:") || strings.HasPrefix(value, "data:") && n.Data != "link"):
			say("address %s=%q of %s", a.Key, a.Val, n.Data)
		case a.Key == "href" && n.Data == "a" && (value == "" || value == "#" || strings.HasPrefix(value, "about:")):
			say("link %q leads nowhere", Text(n))
		}
	}
}

// references: an id that is referred to is there.
func (d *Document) references(n *html.Node, say func(string, ...any)) {
	for _, name := range []string{"for", "aria-labelledby", "aria-describedby", "aria-controls", "popovertarget"} {
		for _, id := range strings.Fields(Attr(n, name)) {
			if d.ids[id] == 0 {
				say("%s=%q of %s refers to nothing", name, id, n.Data)
			}
		}
	}
}

// named: whatever can be used has a name.
func (d *Document) named(n *html.Node, say func(string, ...any)) {
	switch n.Data {
	case "a", "button", "summary":
		if n.Data == "a" && n.Namespace == "svg" && Attr(n, "tabindex") == "-1" {
			return // a drawing repeats what a table says
		}
		if Text(n) == "" && Attr(n, "aria-label") == "" {
			say("%s without a name", n.Data)
		}
	case "input", "select", "textarea":
		if Attr(n, "type") == "hidden" || Attr(n, "aria-label") != "" || within(n, "label") {
			return
		}
		for _, l := range d.All("label") {
			if id := Attr(n, "id"); id != "" && Attr(l, "for") == id && Text(l) != "" {
				return
			}
		}
		say("%s %q without a label", n.Data, Attr(n, "name"))
	case "img":
		if !has(n, "alt") {
			say("img without alt")
		}
	case "form":
		if m := Attr(n, "method"); m != "post" && m != "get" && m != "dialog" {
			say("form %q without a method", Attr(n, "action"))
		}
	}
}

// table: a name, headers with a scope, and rows of one length.
func (d *Document) table(t *html.Node, say func(string, ...any)) {
	named := Attr(t, "aria-label") != "" || Attr(t, "aria-labelledby") != ""
	width := 0
	for n := range t.Descendants() {
		switch {
		case n.Type != html.ElementNode:
		case n.Data == "caption":
			named = true
		case n.Data == "th" && Attr(n, "scope") == "":
			say("header %q without a scope", Text(n))
		case n.Data == "tr":
			cells := 0
			for c := range n.ChildNodes() {
				if c.Data == "td" || c.Data == "th" {
					cells++
				}
			}
			if width != 0 && cells != width {
				say("row %q has %d cells, want %d", Text(n), cells, width)
			}
			width = cells
		}
	}
	if !named {
		say("table without a name: %q", Text(t))
	}
}

func within(n *html.Node, element string) bool {
	for p := range n.Ancestors() {
		if p.Type == html.ElementNode && p.Data == element {
			return true
		}
	}
	return false
}
