package witness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"klarsyn/policy/audit/durable"
	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
)

// Alarm says that the log shows what cannot follow from what it showed before. Nothing of it is cosigned, and what
// is remembered stays as it was.
type Alarm struct {
	What              string
	Remembered, Shown verify.Checkpoint
	Evidence          string // directory with both checkpoints and the tiles at hand
}

func (a *Alarm) Error() string {
	return fmt.Sprintf("ALARM: the log is not what it was: %s. Both checkpoints are signed by the log and lie in %s: show them to whoever "+
		"audits the log, and do not remove the witness's state", a.What, a.Evidence)
}

// alarm keeps what proves it, and is the error that says so.
func (w *Witness) alarm(ctx context.Context, shown verify.Checkpoint, format string, args ...any) error {
	a := &Alarm{What: fmt.Sprintf(format, args...), Remembered: w.state.latest, Shown: shown}
	a.Evidence = filepath.Join(w.cfg.State, "alarm-"+w.cfg.Now().UTC().Format("20060102T150405Z"))
	keep := map[string][]byte{"remembered": []byte(a.Remembered.Note), "shown": []byte(shown.Note), "what": []byte(a.What + "\n")}
	for level, n := 0, shown.Size; n > 0; level, n = level+1, n/leaf.Width {
		spans := leaf.Spans(n-1, n) // the right edge
		name := leaf.Tile(level, spans[0].N, spans[0].Width)
		if tile, err := w.remote.get(ctx, name, maxTile); err == nil {
			keep[strings.ReplaceAll(name, "/", "-")] = tile
		}
	}
	err := os.MkdirAll(a.Evidence, 0o700)
	for name, content := range keep {
		err = errors.Join(err, durable.Write(filepath.Join(a.Evidence, name), content, 0o600))
	}
	if err != nil {
		return fmt.Errorf("%w; the evidence could not be kept whole: %w", a, err)
	}
	return a
}
