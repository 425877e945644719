package retention

import (
	"fmt"
	"slices"
)

// step is where a pass may fail.
type step int

const (
	reading step = iota
	claiming
	scrubbing
	charging
	erasing
	proving
	burying
)

// fault is what failed in one step of a pass: how often, and the first of it in order of ids.
type fault struct {
	step
	clips int // 0: it is not about single clips
	id    string
	err   error
}

func (f *fault) Error() string {
	if f.clips > 1 {
		return fmt.Sprintf("%d clips, the first: %v", f.clips, f.err)
	}
	return f.err.Error()
}

func (f *fault) Unwrap() error { return f.err }

// faults are those of one pass, one of each kind.
type faults []*fault

func (fs *faults) add(at step, id string, err error) {
	if err == nil {
		return
	}
	i := slices.IndexFunc(*fs, func(f *fault) bool { return f.step == at })
	if i < 0 {
		*fs = append(*fs, &fault{step: at})
		i = len(*fs) - 1
	}
	f := (*fs)[i]
	if f.err == nil || id < f.id {
		f.id, f.err = id, err
	}
	if id != "" {
		f.clips++
	}
}
