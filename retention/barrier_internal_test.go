package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
)

// barrierBook is rows in memory; what it is told is noted in order, together with what the store is told.
type barrierBook struct {
	clips map[string]*barredClip
	notes []string
	fail  error
	fails func(key string) bool // which keys alone; nil: all
}

type barredClip struct {
	holds   int
	barrier BarrierState
}

func (b *barrierBook) list(after string, limit int, want func(*barredClip) bool) (all []Clip, err error) {
	for _, id := range slices.Sorted(maps.Keys(b.clips)) {
		if id > after && len(all) < limit && want(b.clips[id]) {
			all = append(all, Clip{ID: id, ObjectKey: "clips/" + id, Version: "v-" + id})
		}
	}
	return all, nil
}

func (b *barrierBook) Unbarred(_ context.Context, after string, limit int) ([]Clip, error) {
	return b.list(after, limit, func(c *barredClip) bool { return c.holds > 0 && c.barrier < BarrierOn })
}

func (b *barrierBook) Barred(_ context.Context, after string, limit int) ([]Clip, error) {
	return b.list(after, limit, func(c *barredClip) bool { return c.holds == 0 && c.barrier > BarrierOff })
}

func (b *barrierBook) SetBarrier(_ context.Context, clip string, state BarrierState) error {
	b.notes = append(b.notes, fmt.Sprint(clip, " ", state))
	b.clips[clip].barrier = state
	return nil
}

func (b *barrierBook) LegalHold(_ context.Context, key, version string, on bool) error {
	b.notes = append(b.notes, fmt.Sprint(key, " ", version, " ", on))
	if b.fails != nil && !b.fails(key) {
		return nil
	}
	return b.fail
}

// The store's legal hold is said to be perhaps on before it is set, and off after it was cleared: a crash in between leaves
// nothing behind that nobody would clear.
func TestBarrierFollowsHolds(t *testing.T) {
	away := errors.New("away")
	for name, tt := range map[string]struct {
		clip barredClip
		fail error
		want []string
		then BarrierState
	}{
		"held":                          {barredClip{1, BarrierOff}, nil, []string{"a 1", "clips/a v-a true", "a 2"}, BarrierOn},
		"held, after a crash":           {barredClip{1, BarrierPerhaps}, nil, []string{"a 1", "clips/a v-a true", "a 2"}, BarrierOn},
		"held, and the store is away":   {barredClip{1, BarrierOff}, away, []string{"a 1", "clips/a v-a true"}, BarrierPerhaps},
		"held already":                  {barredClip{1, BarrierOn}, nil, nil, BarrierOn},
		"lifted":                        {barredClip{0, BarrierOn}, nil, []string{"clips/a v-a false", "a 0"}, BarrierOff},
		"lifted after a crash":          {barredClip{0, BarrierPerhaps}, nil, []string{"clips/a v-a false", "a 0"}, BarrierOff},
		"lifted, and the store is away": {barredClip{0, BarrierOn}, away, []string{"clips/a v-a false"}, BarrierOn},
		"never held":                    {barredClip{0, BarrierOff}, nil, nil, BarrierOff},
		"in a directory":                {barredClip{1, BarrierOff}, ErrNoBarrier, []string{"a 1", "clips/a v-a true", "a 0"}, BarrierOff},
	} {
		t.Run(name, func(t *testing.T) {
			book := &barrierBook{clips: map[string]*barredClip{"a": &tt.clip}, fail: tt.fail}
			b := &Barrier{Book: book, Store: book, Log: slog.New(slog.DiscardHandler)}
			if err := b.Step(t.Context()); (err != nil) != errors.Is(tt.fail, away) {
				t.Errorf("%v", err)
			}
			if fmt.Sprint(book.notes) != fmt.Sprint(tt.want) || tt.clip.barrier != tt.then {
				t.Errorf("%q, then %d; want %q, then %d", book.notes, tt.clip.barrier, tt.want, tt.then)
			}
			if n := len(book.notes); tt.fail == ErrNoBarrier { //nolint:errorlint // the table's own
				if err := b.Step(t.Context()); err != nil || len(book.notes) != n {
					t.Errorf("a store without legal holds is asked again: %q, %v", book.notes[n:], err)
				}
			}
		})
	}
}

// A whole batch of clips at which the store fails keeps no other waiting, and is tried again.
func TestBarrierGoesRound(t *testing.T) {
	for name, clip := range map[string]barredClip{"held": {1, BarrierOff}, "lifted": {0, BarrierOn}} {
		t.Run(name, func(t *testing.T) {
			last := fmt.Sprintf("%03d", barrierBatch)
			book := &barrierBook{clips: map[string]*barredClip{}, fail: errors.New("refused"), fails: func(key string) bool { return key != "clips/"+last }}
			for n := range barrierBatch + 1 {
				one := clip
				book.clips[fmt.Sprintf("%03d", n)] = &one
			}
			b := &Barrier{Book: book, Store: book, Log: slog.New(slog.DiscardHandler)}
			done := map[int]BarrierState{1: BarrierOn, 0: BarrierOff}[clip.holds]
			if err := b.Step(t.Context()); err == nil || book.clips[last].barrier == done {
				t.Fatalf("the first pass: %v, then %d", err, book.clips[last].barrier)
			}
			if err := b.Step(t.Context()); err != nil || book.clips[last].barrier != done {
				t.Errorf("the second: %v, then %d", err, book.clips[last].barrier)
			}
			book.fail = nil
			if err := b.Step(t.Context()); err != nil {
				t.Error(err)
			}
			for id, c := range book.clips {
				if c.barrier != done {
					t.Errorf("clip %s was not tried again: %d", id, c.barrier)
				}
			}
		})
	}
}
