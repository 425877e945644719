package vision

import (
	"bytes"
	"log/slog"
	"sync"

	"klarsyn/camera/vision/wire"
)

// maxLines bounds what one child may write into the log.
const maxLines = 50

// lineLog takes a child's stderr, which hostile video may have chosen, into the log: whole lines,
// printable, of bounded length and number.
type lineLog struct {
	log *slog.Logger

	mu    sync.Mutex
	part  []byte
	first string
	lines int
}

func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(p)
	for {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		// What is too long for a line is cut there; the rest of it is not kept.
		l.part = append(l.part, line[:min(len(line), wire.MaxText-len(l.part))]...)
		if !whole {
			return n, nil
		}
		l.flush()
		p = rest
	}
}

func (l *lineLog) flush() {
	text := wire.Sanitise(string(l.part))
	l.part = l.part[:0]
	if text == "" {
		return
	}
	// A Go crash names its cause first and its registers last.
	if l.lines == 0 {
		l.first = text
	}
	if l.lines++; l.log == nil || l.lines > maxLines {
		return
	}
	l.log.Info("klarsyn-vision says", "line", text)
	if l.lines == maxLines {
		l.log.Info("klarsyn-vision says more; the rest is left out")
	}
}

// firstLine is what the child said first, if it said anything: the cause comes before its consequences.
func (l *lineLog) firstLine() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}
