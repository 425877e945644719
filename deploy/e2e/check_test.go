package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// canary is what every simulated picture carries.
const canary = "KLARSYN-CANARY-1"

// invariant is a row of klarsyn fsck --json.
type invariant struct {
	ID         string
	Checked    int
	Violations []string
}

// fsck runs the checker over a data directory. It wants exit code 1 exactly if something is violated.
func fsck(t *testing.T, data string, args ...string) map[string]invariant {
	t.Helper()
	cmd := exec.Command(klarsyn(), append([]string{"fsck", "--data", data, "--json"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var rows []invariant
	if err := json.Unmarshal(out, &rows); err != nil {
		t.Fatalf("fsck: %v: %s%s", err, out, stderr.String())
	}
	byID, violations := map[string]invariant{}, 0
	for _, r := range rows {
		byID[r.ID] = r
		violations += len(r.Violations)
	}
	for _, id := range []string{"I1", "I2", "I3", "I6", "I8", "I11", "I12"} {
		if _, ok := byID[id]; !ok {
			t.Errorf("fsck says nothing of %s", id)
		}
	}
	if code := cmd.ProcessState.ExitCode(); (code == 1) != (violations > 0) || code > 1 {
		t.Errorf("fsck exits with %d and finds %d violations", code, violations)
	}
	return byID
}

// clean wants no violation of anything.
func clean(t *testing.T, found map[string]invariant) {
	t.Helper()
	for _, r := range found {
		for _, v := range r.Violations {
			t.Errorf("%s: %s", r.ID, v)
		}
	}
}

// probe is what ffprobe says of a clip when it decodes every picture.
type probe struct {
	frames   int
	width    int
	duration float64
}

// decode wants ffprobe to decode all of a clip without a complaint.
func decode(t *testing.T, video []byte) probe {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.mp4")
	if err := os.WriteFile(path, video, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(testenv.Tool(t, "ffprobe"), "-v", "error", "-count_frames", "-select_streams", "v:0",
		"-show_entries", "stream=nb_read_frames,width,height:format=duration", "-of", "json", path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("ffprobe: %v: %s", err, stderr.String())
	}
	var said struct {
		Streams []struct {
			Frames string `json:"nb_read_frames"`
			Width  int
		}
		Format struct{ Duration string }
	}
	if err := json.Unmarshal(out, &said); err != nil || len(said.Streams) != 1 {
		t.Fatalf("ffprobe: %v: %s", err, out)
	}
	p := probe{width: said.Streams[0].Width}
	if _, err := fmt.Sscan(said.Streams[0].Frames, &p.frames); err != nil {
		t.Fatalf("ffprobe: %v: %s", err, out)
	}
	if _, err := fmt.Sscan(said.Format.Duration, &p.duration); err != nil {
		t.Fatalf("ffprobe: %v: %s", err, out)
	}
	return p
}

// longestGOP is the longest time from one keyframe of a file to the next, or to its end.
func longestGOP(t *testing.T, path string) time.Duration {
	t.Helper()
	out, err := exec.Command(testenv.Tool(t, "ffprobe"), "-v", "error", "-select_streams", "v:0",
		"-show_entries", "packet=pts_time,flags:format=duration", "-of", "json", path).Output()
	if err != nil {
		t.Fatalf("ffprobe %s: %v", path, err)
	}
	var said struct {
		Packets []struct {
			PTS   float64 `json:"pts_time,string"`
			Flags string
		}
		Format struct {
			Duration float64 `json:",string"`
		}
	}
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatalf("ffprobe %s: %v", path, err)
	}
	keys := []float64{}
	for _, p := range said.Packets {
		if strings.HasPrefix(p.Flags, "K") {
			keys = append(keys, p.PTS)
		}
	}
	if len(keys) == 0 {
		t.Fatalf("%s has no keyframe", path)
	}
	longest := max(said.Format.Duration-keys[len(keys)-1], 0)
	for i := 1; i < len(keys); i++ {
		longest = max(longest, keys[i]-keys[i-1])
	}
	return time.Duration(longest * float64(time.Second))
}

// summaryOf reads a demo's summary, and wants every field that is promised.
func summaryOf(t *testing.T, s *square) map[string]float64 {
	t.Helper()
	b, err := os.ReadFile(s.summary)
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]*float64
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatalf("summary: %v: %s", err, b)
	}
	if !strings.Contains(s.Output(), strings.TrimSpace(string(b))) {
		t.Error("the summary in the file is not the one that was printed")
	}
	sum := map[string]float64{}
	for _, name := range []string{"cameras", "seconds", "clips_committed", "clips_deleted", "overdue", "max_delete_lag_s", "samples",
		"count_mae", "gaps", "reads_granted", "reads_denied", "audit_size", "fsck_violations"} {
		v, ok := raw[name]
		if !ok {
			t.Errorf("the summary lacks %s", name)
			continue
		}
		if v != nil {
			sum[name] = *v
		}
	}
	return sum
}
