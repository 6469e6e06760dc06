package view

import "fmt"

// Tree is a hierarchy as a picture: what is above stands to the left.
type Tree struct {
	Label string     // what it shows, for those who do not see it
	Nodes []TreeNode // parents before their children
}

// TreeNode is a box of a Tree.
type TreeNode struct {
	Name, Detail string
	Href         string
	Tone         Tone
	Parent       int   // index of the one above; -1 for none
	Also         []int // further ones above
}

// The drawing, in units of its view box.
const (
	treeColumn = 272
	treeRow    = 66
	treeWidth  = 216 // of a box
	treeHeight = 48
	treeText   = 26 // characters that a box has room for
)

// box is a node as drawn.
type box struct {
	X, Y         string
	NameY, InfoY string
	TextX        string
	Name, Info   string
	Title        string
	Href         string
	Class        string
}

// Boxes are the nodes of the drawing, each in a row of its own below its parent.
func (t Tree) boxes() []box {
	at := t.places()
	out := make([]box, len(t.Nodes))
	for i, n := range t.Nodes {
		x, y := at[i].depth*treeColumn, at[i].row*treeRow
		out[i] = box{
			X: fmt.Sprint(x + 1), Y: fmt.Sprint(y + 1), TextX: fmt.Sprint(x + 13), NameY: fmt.Sprint(y + 21), InfoY: fmt.Sprint(y + 39),
			Name: clip(n.Name), Info: clip(n.Detail), Title: n.Name + ", " + n.Detail, Href: n.Href, Class: "box is-" + string(n.Tone),
		}
	}
	return out
}

// line leads from one box to another.
type line struct{ Path, Class string }

// lines are the ways down: whole ones to whom the parent made, broken ones for the others.
func (t Tree) lines() []line {
	at := t.places()
	var out []line
	add := func(from, to int, class string) {
		if from < 0 || from >= len(at) || from == to {
			return
		}
		x1, y1 := at[from].depth*treeColumn+treeWidth, at[from].row*treeRow+treeHeight/2
		x2, y2 := at[to].depth*treeColumn, at[to].row*treeRow+treeHeight/2
		out = append(out, line{fmt.Sprintf("M%d %d C%d %d %d %d %d %d", x1, y1, x1+36, y1, x2-36, y2, x2, y2), class})
	}
	for i, n := range t.Nodes {
		add(n.Parent, i, "way")
		for _, from := range n.Also {
			add(from, i, "way also")
		}
	}
	return out
}

type place struct{ depth, row int }

// places are where the nodes stand: children below their parent, in order.
func (t Tree) places() []place {
	at := make([]place, len(t.Nodes))
	row := 0
	var put func(i, depth int)
	put = func(i, depth int) {
		at[i] = place{depth, row}
		row++
		for j := i + 1; j < len(t.Nodes); j++ {
			if t.Nodes[j].Parent == i {
				put(j, depth+1)
			}
		}
	}
	for i, n := range t.Nodes {
		if n.Parent < 0 || n.Parent >= i {
			put(i, 0)
		}
	}
	return at
}

// viewBox is the size of the drawing.
func (t Tree) viewBox() string {
	deepest := 0
	for _, p := range t.places() {
		deepest = max(deepest, p.depth)
	}
	return fmt.Sprintf("0 0 %d %d", deepest*treeColumn+treeWidth+2, max(1, len(t.Nodes))*treeRow)
}

func (t Tree) width() string {
	deepest := 0
	for _, p := range t.places() {
		deepest = max(deepest, p.depth)
	}
	return fmt.Sprint(deepest*treeColumn + treeWidth + 2)
}

func clip(s string) string {
	r := []rune(s)
	if len(r) <= treeText {
		return s
	}
	return string(r[:treeText-1]) + "…"
}
