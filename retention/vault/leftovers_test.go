package vault_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/camera"
	"klarsyn/retention"
	"klarsyn/retention/vault"
)

// A clip whose deadline has passed is not put any more: the put would come after the proof.
func TestNothingIsPutAfterItsDeadline(t *testing.T) {
	s := newSite(t)
	c, _ := s.record("k0", noon, 1000)
	s.set(c.Deadline)
	s.move()
	if n := s.traces(c); n != 0 {
		t.Errorf("%d traces in the store", n)
	}
	if got := s.last("k0"); got.State != retention.Pending {
		t.Errorf("the clip is %s before anybody claimed it", got.State)
	}
	if _, err := s.books.Claim(t.Context(), c.Deadline, 10); err != nil {
		t.Fatal(err)
	}
	s.move()
	if got := s.spooled(); len(got) != 0 {
		t.Errorf("the spool still holds %v", got)
	}
}

// A recorder that stays down leaves files: deletion removes those, too, and only those of its clip.
func TestDeletionReachesTheSpool(t *testing.T) {
	s := newSite(t)
	gone, _ := s.record("k0", noon, 1000)
	stays, _ := s.record("k1", noon, 1000)
	left := vault.Leftovers{Folder: s.spool()}
	if n, err := left.Remains(gone.ObjectKey); n != 2 || err != nil {
		t.Errorf("before: %d, %v", n, err)
	}
	if n, err := left.Erase(gone.ObjectKey); n != 2 || err != nil {
		t.Errorf("erased %d, %v", n, err)
	}
	if n, err := left.Remains(gone.ObjectKey); n != 0 || err != nil {
		t.Errorf("after: %d, %v", n, err)
	}
	if n, err := left.Erase(gone.ObjectKey); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
	if got := s.spooled(); len(got) != 1 || got[0] != stays.ID {
		t.Errorf("the spool holds %v, want %s alone", got, stays.ID)
	}
}

// A sweeper clears many clips at once: what it removed of each is told apart, and what is not asked for stays.
func TestSweeperClearsTheSpool(t *testing.T) {
	s := newSite(t)
	gone, _ := s.record("k0", noon, 1000)
	stays, _ := s.record("k1", noon, 1000)
	place := vault.Spool{Leftovers: vault.Leftovers{Folder: s.spool()}}
	for _, removed := range []int{2, 0} {
		erased := place.Erase(t.Context(), []string{"clips/k9/2026-01-02/never", gone.ObjectKey})
		want := []retention.Erasure{{}, {Removed: removed}}
		if !slices.Equal(erased, want) {
			t.Errorf("erased %+v, want %+v", erased, want)
		}
	}
	if got := s.spooled(); len(got) != 1 || got[0] != stays.ID {
		t.Errorf("the spool holds %v, want %s alone", got, stays.ID)
	}
	none := vault.Spool{Leftovers: vault.Leftovers{Folder: s.spool() + "-none"}}
	if erased := none.Erase(t.Context(), []string{gone.ObjectKey}); erased[0] != (retention.Erasure{}) {
		t.Errorf("without a spool: %+v", erased)
	}
}

// Clips wait in the spool under their recorder's name: another name would not find their rows.
func TestSpoolKeepsItsRecordersName(t *testing.T) {
	s := newSite(t)
	s.record("k0", noon, 1000)
	s.must(s.in.Close())
	s.in = nil
	cfg := s.config()
	cfg.Node = "n2"
	_, err := vault.OpenIntake(t.Context(), cfg)
	if !errors.Is(err, vault.ErrOtherNode) || !strings.Contains(err.Error(), `"n1"`) {
		t.Fatalf("another name: %v", err)
	}
	if got := s.spooled(); len(got) != 1 {
		t.Errorf("the spool holds %v", got)
	}
	s.restart()
	s.move()
	s.must(s.in.Close())
	s.in = nil
	in, err := vault.OpenIntake(t.Context(), cfg)
	s.must(err) // empty, it may be renamed
	s.must(in.Close())
	s.restart()
}

// A timeline that a wrong clock pushed ahead does not push deadlines along.
func TestDeadlineGoesByReceipt(t *testing.T) {
	s := newSite(t)
	ahead := noon.Add(300 * 24 * time.Hour)
	rec, err := s.in.Begin(t.Context(), camera.Opening{Camera: "k0", Start: ahead, Received: noon, Format: camera.Format{Codec: camera.H264}})
	s.must(err)
	if c := s.last("k0"); !c.Deadline.Equal(noon.Add(time.Hour)) || c.KeyDay != noon.Format(time.DateOnly) {
		t.Errorf("deadline %s, key of %s", c.Deadline, c.KeyDay)
	}
	s.must(rec.Close(t.Context(), camera.Closing{End: ahead}))
}
