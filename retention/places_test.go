package retention_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"klarsyn/retention"
)

// answers is a place that says what it was told to say.
type answers []retention.Erasure

func (a answers) Erase(context.Context, []string) []retention.Erasure { return a }

// A clip is gone when no place lists anything of it and none failed; what failed names its place.
func TestPlacesAreAllCleared(t *testing.T) {
	broken := errors.New("broken")
	ps := retention.Places{
		{Name: "spool", Eraser: answers{{Removed: 2}, {Err: broken}, {}}},
		{Name: "store", Eraser: answers{{Removed: 1, Left: 3}, {Removed: 1}, {Err: broken}}},
	}
	got := ps.Erase(t.Context(), []string{"a", "b", "c"})
	if got[0] != (retention.Erasure{Removed: 3, Left: 3}) {
		t.Errorf("a: %+v", got[0])
	}
	for i, place := range map[int]string{1: "spool", 2: "store"} {
		if !errors.Is(got[i].Err, broken) || !strings.HasPrefix(got[i].Err.Error(), place+":") {
			t.Errorf("answer %d: %+v, want an error of the %s", i, got[i], place)
		}
	}
	if got[1].Removed != 1 {
		t.Errorf("b: %+v: one place that fails keeps the other from being cleared", got[1])
	}
}
