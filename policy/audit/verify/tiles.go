package verify

import (
	"golang.org/x/mod/sumdb/tlog"

	"klarsyn/policy/audit/leaf"
)

// upperTiles checks the tiles above level 0: each of their hashes is the root of a full tile below.
func (w *walk) upperTiles() error {
	if w.made.Size() != w.newest.Size {
		return nil // the walk did not come to its end, and has said why
	}
	below := w.groups
	for level := 1; len(below) > 0; level++ {
		var roots []tlog.Hash
		for _, span := range leaf.Spans(0, int64(len(below))) {
			want := below[span.First() : span.First()+int64(span.Width)]
			if span.Width == leaf.Width {
				roots = append(roots, leaf.Fold(want))
			}
			name := leaf.Tile(level, span.N, span.Width)
			content, ok, err := w.want(name)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			got, err := leaf.SplitTile(content, span.Width)
			if err != nil {
				w.report.add(name, "%v", err)
				continue
			}
			for i := range want {
				if got[i] != want[i] {
					w.report.add(name, "hash %d is not the root of the tile below it", i)
				}
			}
		}
		below = roots
	}
	return nil
}
