package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"klarsyn/policy/audit"
	"klarsyn/policy/audit/verify"
	"klarsyn/retention"
)

// forgotten is a data directory in which one clip was recorded, and then deleted as its deadline came; live is a clip before its own.
func forgotten(t *testing.T) (l layout, deleted, live retention.Clip) {
	t.Helper()
	l = wired(t)
	t.Run("recorded", func(t *testing.T) {
		s, _ := recording(t, l, nil)
		deleted = stored(t, s, nil)
		live = stored(t, s, map[string]bool{deleted.ID: true})
	})
	sweepAt(t, l, deleted.Deadline.Add(200*time.Millisecond))
	return l, deleted, live
}

// sweepAt deletes what is due at a time, and numbers the log.
func sweepAt(t *testing.T, l layout, at time.Time) {
	t.Helper()
	s := opened(t, l, func() time.Time { return at })
	re := openRetain(t.Context(), s, reaping{})
	_, err := re.sweeper.Sweep(t.Context())
	if err := errors.Join(err, re.close(), s.log.Sequence(context.WithoutCancel(t.Context())), s.close()); err != nil {
		t.Fatal(err)
	}
}

// A proof is got on the machine and checked with the public key alone; a clip that is there has none.
func TestProofOfDeletion(t *testing.T) {
	l, deleted, live := forgotten(t)
	key := filepath.Join(l.audit(), "audit.pub")
	file := filepath.Join(t.TempDir(), "deletion.json")
	if got := command(t, "proof", "deletion", "--data", l.root, "--clip", deleted.ID, "-o", file); got.code != 0 {
		t.Fatal(got)
	}
	got := command(t, "verify", "deletion", "--proof", file, "--key", key, "--clip", deleted.ID, "--json")
	var report deletionReport
	if err := json.Unmarshal([]byte(got.out), &report); got.code != 0 || err != nil {
		t.Fatal(got, err)
	}
	stone := report.Tombstone
	if stone.Clip != deleted.ID || stone.Camera != "k1" || stone.Permit != "plattan" || !stone.Deadline.Equal(deleted.Deadline) || !stone.From.Equal(deleted.Start) ||
		!stone.To.Equal(deleted.End) || stone.Size != deleted.Size || stone.Versions != 1 || stone.Listed != 0 || len(report.Entries) != 4 || report.Unreadable < 0 || report.Gone < report.Unreadable {
		t.Errorf("%+v\nof %+v", report, deleted)
	}
	if got := command(t, "verify", "deletion", "--proof", file, "--key", key); got.code != 0 || !strings.Contains(got.out, "deleted: clip "+deleted.ID) || !strings.Contains(got.out, "after its deadline") {
		t.Error(got)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	forged := filepath.Join(t.TempDir(), "forged.json")
	p, err := verify.ParseDeletionProof(string(text))
	if err != nil {
		t.Fatal(err)
	}
	p.Tombstone.Deadline = p.Tombstone.Deadline.Add(time.Hour)
	changed, err := p.Format()
	if err := errors.Join(err, os.WriteFile(forged, []byte(changed), 0o600)); err != nil {
		t.Fatal(err)
	}
	stranger := t.TempDir()
	if _, err := audit.LoadOrCreateKey(stranger); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(stranger, "audit.pub")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"a clip that is there":    {[]string{"proof", "deletion", "--data", l.root, "--clip", live.ID, "-o", file}, 1, "is not deleted: it is committed, and its deadline is"},
		"a clip that never was":   {[]string{"proof", "deletion", "--data", l.root, "--clip", "01KAW4D3ZJ7Q0V6Y3R9T5B2M8N", "-o", file}, 1, "no such clip"},
		"no clip's id":            {[]string{"proof", "deletion", "--data", l.root, "--clip", "k1", "-o", file}, 2, "no clip's id"},
		"neither data nor server": {[]string{"proof", "deletion", "--clip", live.ID, "-o", file}, 2, "--server"},
		"no clip":                 {[]string{"proof", "deletion", "--data", l.root, "-o", file}, 2, "--clip is missing"},
		"a forged tombstone":      {[]string{"verify", "deletion", "--proof", forged, "--key", key}, 1, "the tombstone says deadline"},
		"of another clip":         {[]string{"verify", "deletion", "--proof", file, "--key", key, "--clip", live.ID}, 1, "not " + live.ID},
		"another log's key":       {[]string{"verify", "deletion", "--proof", file, "--key", other}, 1, "of another log"},
		"more witnesses than are": {[]string{"verify", "deletion", "--proof", file, "--key", key, "--quorum", "1"}, 2, "--quorum 1"},
		"no proof":                {[]string{"verify", "deletion", "--proof", key, "--key", key}, 1, "no proof of deletion"},
	} {
		if got := command(t, c.args...); got.code != c.code || !strings.Contains(got.errs, c.want) {
			t.Errorf("%s: %s, want exit %d and %q", name, got, c.code, c.want)
		}
	}
}
