package world

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Word is what somebody in a world knows, whatever became of the process that told him.
type Word struct {
	Take    *Take  `json:"take,omitempty"`    // a camera is about to show this
	Told    *Told  `json:"told,omitempty"`    // somebody was told this of a hold
	Lifting string `json:"lifting,omitempty"` // somebody is about to lift that hold
	// Restored says that a backup is about to be put back.
	Restored bool `json:"restored,omitempty"`
}

// Tell writes a word down, where it outlives its process.
func (w *World) Tell(word Word) error {
	line, err := json.Marshal(word)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(w.path("journal"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("the world's journal: %w", err)
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("the world's journal: %w", err)
	}
	return nil
}

// Journal is everything that was told in a world.
func (a Addresses) Journal() ([]Word, error) {
	f, err := os.Open(a.path("journal"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the world's journal: %w", err)
	}
	defer f.Close()
	var words []Word
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var w Word
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			return nil, fmt.Errorf("the world's journal: %w", err)
		}
		words = append(words, w)
	}
	return words, nil
}
