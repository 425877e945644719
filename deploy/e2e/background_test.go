package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// After a power cut counting goes on with the background that was learnt before it, and that is gone at the permit's deadline.
func TestBackgroundOutlivesAPowerCut(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	args := []string{"--clip", "4s", "--retention", "60s", "--tour=false"}
	s := startDemo(t, data, args...)
	kept := filepath.Join(data, "spool", "k1.background")
	testenv.Eventually(t, 90*time.Second, "a background is kept", func() bool {
		_, err := os.Stat(kept)
		return err == nil
	})
	s.Kill()
	cut := time.Now()
	clean(t, fsck(t, data, "--stray", "2m"))

	s = startDemo(t, data, args...)
	auditor := s.as(t, "auditor")
	counted := 0
	testenv.Eventually(t, 30*time.Second, "camera k1 is counted", func() bool {
		counted = 0
		for _, m := range samples(auditor, "k1") {
			if m.Time.Before(cut) {
				continue
			}
			switch m.Quality {
			case "learning":
				t.Fatalf("it learns anew at %s", m.Time)
			case "ok":
				counted++
			}
		}
		return counted > 0
	})
	t.Logf("counted %s after the cut", time.Since(cut).Round(100*time.Millisecond))

	// It was kept again at once, and then not within this test.
	testenv.Eventually(t, 60*time.Second+20*time.Second, "the background is gone", func() bool {
		_, err := os.Stat(kept)
		return os.IsNotExist(err)
	})
	if code := s.Stop(t, time.Minute); code != 0 {
		t.Errorf("the demo ended with %d", code)
	}
	clean(t, fsck(t, data))
}
