package verify

import (
	"strconv"
	"strings"

	"klarsyn/policy/audit/leaf"
)

// cosigned is what witnesses said, by the checkpoint that they said it of, until the walk comes there.
type cosigned struct {
	lines map[int64][]string
	named []*Witness // whose keys the log itself brings
}

// readCosignatures reads what witnesses said of checkpoints, and which witnesses the log names.
func (w *walk) readCosignatures() error {
	w.cosigned.lines = map[int64][]string{}
	named, _, err := w.have(leaf.Witnesses)
	if err != nil {
		return err
	}
	if w.cosigned.named, err = ParseWitnesses(string(named)); err != nil {
		w.report.add(leaf.Witnesses, "%v", err)
	}
	content, _, err := w.have(leaf.Cosignatures)
	if err != nil {
		return err
	}
	for i, line := range strings.SplitAfter(string(content), "\n") {
		if line == "" {
			continue
		}
		text, sig, _ := strings.Cut(line, " ")
		number, err := strconv.ParseInt(text, 10, 64)
		if err != nil || strconv.FormatInt(number, 10) != text || number < w.pruned.checkpoint || number > w.newest.Number {
			w.report.add(leaf.Cosignatures, "line %d is of no checkpoint of this log", i+1)
			continue
		}
		w.cosigned.lines[number] = append(w.cosigned.lines[number], sig)
	}
	return nil
}

// cosign checks what witnesses said of a checkpoint, and keeps the newest word of each.
func (w *walk) cosign(c Checkpoint) {
	for _, line := range w.cosigned.lines[c.Number] {
		one, err := OpenCosignature(c, line, w.options.Witnesses)
		one.Given = err == nil
		if err != nil {
			one, err = OpenCosignature(c, line, w.cosigned.named)
		}
		if err != nil {
			w.report.add(checkpointPlace(c.Number), "cosignature: %v", err)
			continue
		}
		w.keep(one)
	}
	delete(w.cosigned.lines, c.Number)
}

func (w *walk) keep(one Cosigned) {
	for i, before := range w.report.Cosigned {
		if before.Witness == one.Witness && before.Given == one.Given {
			w.report.Cosigned[i] = one // checkpoints are walked in their order
			return
		}
	}
	w.report.Cosigned = append(w.report.Cosigned, one)
}

// stray reports cosignatures of checkpoints that the walk did not come by.
func (w *walk) stray() {
	for number := range w.cosigned.lines {
		if len(w.cosigned.lines[number]) > 0 {
			w.report.add(leaf.Cosignatures, "checkpoint %d: it could not be read, so nobody knows what was cosigned", number)
		}
	}
}
