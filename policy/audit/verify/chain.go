package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"klarsyn/policy/audit/leaf"
)

// Chain is the signing keys of a log in their order. Where one follows another both have signed a checkpoint
// that names both, so that whoever trusts one of them may trust all.
type Chain struct {
	keys []chained
}

type chained struct {
	text     string
	verifier note.Verifier
	until    int64 // number of the checkpoint at which the next one follows; 0: it is the newest
}

// ErrUntrusted says that a log was signed by other keys than the ones that are trusted.
var ErrUntrusted = errors.New("none of the log's keys is one that was given")

// ParseKeys reads verifier keys, one to a line; empty lines and those that begin with # are passed over.
func ParseKeys(text string) ([]string, error) {
	var keys []string
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if _, err := note.NewVerifier(line); err != nil {
			return nil, fmt.Errorf("line %d is no verifier key of a log, as in audit.pub: %w", i+1, err)
		}
		keys = append(keys, line)
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no verifier key: want the content of the log's audit.pub")
	}
	return keys, nil
}

// NewChain follows the rotations of a log, given as signed checkpoints in their order, from the keys that
// are trusted. Without rotations the log has one key, which must be one of them.
func NewChain(trusted []string, rotations []string) (*Chain, error) {
	c := &Chain{}
	if len(rotations) == 0 {
		if len(trusted) == 0 {
			return nil, ErrUntrusted
		}
		for _, key := range trusted {
			if err := c.add(key); err != nil {
				return nil, err
			}
		}
		return c, nil
	}
	for i, signed := range rotations {
		unchecked, err := TextOf(signed)
		if err != nil || unchecked.Rotation == nil {
			return nil, fmt.Errorf("rotation %d: is no checkpoint that names two keys", i+1)
		}
		if i == 0 {
			if err := c.add(unchecked.Rotation.Old); err != nil {
				return nil, fmt.Errorf("rotation 1: %w", err)
			}
		}
		last := &c.keys[len(c.keys)-1]
		if last.text != unchecked.Rotation.Old || (i > 0 && c.keys[len(c.keys)-2].until >= unchecked.Number) {
			return nil, fmt.Errorf("rotation %d: does not follow the one before", i+1)
		}
		last.until = unchecked.Number
		if err := c.add(unchecked.Rotation.New); err != nil {
			return nil, fmt.Errorf("rotation %d: %w", i+1, err)
		}
		if _, err := c.Open(signed); err != nil {
			return nil, fmt.Errorf("rotation %d: %w", i+1, err)
		}
	}
	if !slices.ContainsFunc(c.keys, func(k chained) bool { return slices.Contains(trusted, k.text) }) {
		return nil, ErrUntrusted
	}
	return c, nil
}

func (c *Chain) add(key string) error {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	c.keys = append(c.keys, chained{text: key, verifier: verifier})
	return nil
}

// Keys are the log's verifier keys, oldest first.
func (c *Chain) Keys() []string {
	var keys []string
	for _, k := range c.keys {
		keys = append(keys, k.text)
	}
	return keys
}

// Open checks that a checkpoint was signed by the key of its time, and reads it.
func (c *Chain) Open(signed string) (Checkpoint, error) {
	opened, err := c.open(signed)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	return opened, nil
}

func (c *Chain) open(signed string) (Checkpoint, error) {
	unchecked, err := TextOf(signed)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.keys[0].until == 0 { // no rotation: any key that is trusted
		for _, k := range c.keys {
			var opened Checkpoint
			if opened, err = openNote(signed, k.verifier); err == nil {
				if opened.Rotation != nil {
					return Checkpoint{}, errors.New("it changes the signing key, but is not among the rotations")
				}
				return opened, nil
			}
		}
		return Checkpoint{}, err
	}
	for i, k := range c.keys {
		switch {
		case k.until == 0 || unchecked.Number < k.until:
			opened, err := openNote(signed, k.verifier)
			if err == nil && opened.Rotation != nil {
				err = errors.New("it changes the signing key, but is not among the rotations")
			}
			return opened, err
		case unchecked.Number == k.until:
			opened, err := openNote(signed, k.verifier, c.keys[i+1].verifier)
			if err == nil && (opened.Rotation == nil || opened.Rotation.Old != k.text || opened.Rotation.New != c.keys[i+1].text) {
				err = errors.New("it does not name the keys that change there")
			}
			return opened, err
		}
	}
	return Checkpoint{}, ErrUntrusted
}

// Own is what of a checkpoint's note the log itself signed, without the cosignatures behind it.
func (c *Chain) Own(signed string) string {
	own, _ := apart(signed, c)
	return own
}

// SplitNotes reads a bundle of signed notes, however many it holds.
func SplitNotes(bundle []byte) ([]string, error) {
	var notes []string
	for len(bundle) > 0 {
		if len(bundle) < 2 {
			return nil, leaf.ErrBundle
		}
		size := min(2+int(bundle[0])<<8+int(bundle[1]), len(bundle))
		things, err := leaf.SplitBundle(bundle[:size], 1)
		if err != nil {
			return nil, err
		}
		notes = append(notes, string(things[0]))
		bundle = bundle[size:]
	}
	return notes, nil
}
