package terminal

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Progress is one line that says how far something is: a bar, or the time that passed
// while nobody knows how much there is to do. Where nobody watches it writes nothing.
type Progress struct {
	w     io.Writer
	width func() int
	now   func() time.Time
	begun time.Time
	stop  chan struct{}
	drawn sync.WaitGroup

	mu          sync.Mutex
	done, total int
	message     string
}

// NewProgress begins to show progress on w, if that is a terminal.
func NewProgress(w io.Writer, message string) *Progress {
	p := &Progress{w: w, now: time.Now, message: message}
	if !IsTerminal(w) {
		return p
	}
	fd := int(w.(*os.File).Fd()) // #nosec G115 -- a file descriptor is small
	ticker := time.NewTicker(100 * time.Millisecond)
	p.start(ticker.C, func() int {
		width, _, err := term.GetSize(fd)
		if err != nil {
			return 80
		}
		return width
	})
	return p
}

func (p *Progress) start(tick <-chan time.Time, width func() int) {
	p.width, p.begun, p.stop = width, p.now(), make(chan struct{})
	p.drawn.Go(func() {
		for {
			select {
			case <-tick:
				fmt.Fprint(p.w, "\r"+p.line()+"\x1b[K")
			case <-p.stop:
				fmt.Fprint(p.w, "\r\x1b[K")
				return
			}
		}
	})
}

// Set says how much is done, of how much (0: nobody knows), and what is going on.
func (p *Progress) Set(done, total int, message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.total, p.message = done, total, Clean(message)
}

// Stop takes the line away.
func (p *Progress) Stop() {
	if p.stop != nil {
		close(p.stop)
		p.drawn.Wait()
	}
}

const barWidth = 24

// line is what is drawn, not wider than the terminal.
func (p *Progress) line() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	passed := p.now().Sub(p.begun)
	var text string
	if p.total > 0 {
		part := min(float64(p.done)/float64(p.total), 1)
		full := int(part * barWidth)
		text = fmt.Sprintf("%s%s %3.0f %%  %d of %d", strings.Repeat("━", full), strings.Repeat("╌", barWidth-full), part*100, p.done, p.total)
		if p.done > 0 && p.done < p.total && passed > 2*time.Second {
			text += "  " + short(time.Duration(float64(passed)/part*(1-part))) + " left"
		}
	} else {
		text = short(passed)
	}
	if p.message != "" {
		text += "  " + p.message
	}
	if runes := []rune(text); len(runes) >= p.width() {
		text = string(runes[:max(0, p.width()-1)])
	}
	return text
}

// short is a duration in whole seconds.
func short(d time.Duration) string { return d.Round(time.Second).String() }
