package view

import (
	"fmt"
	"time"
)

// Histogram is the number of certificates that expire on each coming day.
type Histogram struct {
	Today time.Time // midnight, UTC
	Days  []Expiry  // one per day, from today
	Total Link
}

// Expiry is one day of a Histogram.
type Expiry struct {
	Unattended int // renew by themselves
	Attended   int // do not
	Href       string
}

// The drawing, in units of its view box.
const (
	histogramWidth  = 1240
	histogramHeight = 112
	histogramBase   = 92 // y of the line that the bars stand on
	histogramRoof   = 84 // height of the tallest bar
	histogramTick   = 15 // days between two words on the axis
)

// bar is one day as drawn.
type bar struct {
	X, Width   string
	HitX, HitW string
	SelfY, SelfH,
	NotY, NotH string
	Title string
	Href  string
	Tick  string
	Empty bool
}

// bars computes the drawing: every day has the same width, the tallest reaches the roof,
// and a day that is not empty shows at least a line.
func (h Histogram) bars() []bar {
	if len(h.Days) == 0 {
		return nil
	}
	tallest := 4 // one certificate must not fill the card
	for _, d := range h.Days {
		tallest = max(tallest, d.Unattended+d.Attended)
	}
	pitch := float64(histogramWidth) / float64(len(h.Days))
	out := make([]bar, 0, len(h.Days))
	for i, d := range h.Days {
		x := float64(i)*pitch + pitch*.17
		not := height(d.Attended, tallest)
		self := height(d.Unattended, tallest)
		b := bar{
			X: unit(x), Width: unit(pitch * .66), HitX: unit(float64(i) * pitch), HitW: unit(pitch),
			NotY: unit(histogramBase - not), NotH: unit(not),
			SelfY: unit(histogramBase - not - self), SelfH: unit(self),
			Title: h.title(i), Href: d.Href, Empty: d.Unattended+d.Attended == 0,
		}
		if i%histogramTick == 0 {
			b.Tick = fmt.Sprintf("+%d d", i)
			if i == 0 {
				b.Tick = "today"
			}
		}
		out = append(out, b)
	}
	return out
}

// height is the height of a part of a bar; a part that is not empty shows.
func height(n, tallest int) float64 {
	if n == 0 {
		return 0
	}
	return max(2, float64(n)*histogramRoof/float64(tallest))
}

func unit(f float64) string { return fmt.Sprintf("%.1f", f) }

func (h Histogram) title(i int) string {
	d := h.Days[i]
	day := Day(h.Today.AddDate(0, 0, i))
	s := day + ": " + Plural(d.Unattended+d.Attended, "certificate", "certificates")
	if d.Attended > 0 {
		s += ", " + Number(d.Attended) + " will not renew by itself"
	}
	return s
}

// row is one day of the table that says the same as the drawing.
type row struct {
	Day                  string
	Unattended, Attended int
	Href                 string
}

// rows are the days that are not empty.
func (h Histogram) rows() []row {
	var out []row
	for i, d := range h.Days {
		if d.Unattended+d.Attended > 0 {
			out = append(out, row{Day(h.Today.AddDate(0, 0, i)), d.Unattended, d.Attended, d.Href})
		}
	}
	return out
}
