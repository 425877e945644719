package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"klarsyn/policy/audit/durable"
)

// restoreMarker is what stands in a data directory while a backup is being put back into it: as long as it is there nobody serves,
// records or deletes.
type restoreMarker struct {
	Backup string       `json:"backup"`
	Stage  restoreStage `json:"stage"`
	// Run names this restore, and where what was there is moved: the same backup may be put back more than once.
	Run string `json:"run"`
	// Keys is the backup of the keys that is put back with it; empty: none.
	Keys string `json:"keys,omitempty"`
	// Said is what was done up to stageReplayed, for who repeats it from there.
	Said *restored `json:"said,omitempty"`
}

// restoreStage is how far a restore has come. One that was interrupted goes on after the stage that its marker names.
type restoreStage string

const (
	stageClosed   restoreStage = "closed"   // nothing was touched yet
	stageAside    restoreStage = "aside"    // what was there was moved aside: what is there now is of this restore
	stageReplayed restoreStage = "replayed" // the backup is there, and what was deleted since was deleted again
)

// marker is what stands there; its Backup is empty where nothing does.
func (l layout) marker() (restoreMarker, error) {
	var m restoreMarker
	b, err := os.ReadFile(l.restoring())
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return m, fmt.Errorf("what is being put back: %s: %w", l.restoring(), err)
	}
	return m, nil
}

func (l layout) mark(m restoreMarker) error {
	b, err := json.Marshal(m)
	if err == nil {
		err = durable.Write(l.restoring(), append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("closing %s: %w", l.root, err)
	}
	return nil
}

func (l layout) unmark() error {
	if err := errors.Join(os.Remove(l.restoring()), durable.SyncFolder(l.root)); err != nil {
		return fmt.Errorf("opening %s: %w", l.root, err)
	}
	return nil
}
