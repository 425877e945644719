//go:build cgo

package main

import (
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The commands on real video, as a user gives them: KLARSYN_DATA names a folder with the first 400 frames of PETS2009 S2.L1 at
// 480x360. The background comes from the film itself, as of a camera that has been running; labels from its first half, figures
// from its second.
func TestRecorded(t *testing.T) {
	dir := os.Getenv("KLARSYN_DATA")
	if dir == "" {
		t.Skip("set KLARSYN_DATA to a folder with pets09_s2l1_f000-399_480x360.mp4, .boxes.csv and .counts.csv")
	}
	film := filepath.Join(dir, "pets09_s2l1_f000-399_480x360")
	out := t.TempDir()
	line, labels, calibrated := filepath.Join(out, "line.yaml"), filepath.Join(out, "labels.csv"), filepath.Join(out, "calibrated.yaml")
	// People are counted from the 94th of its 360 rows on.
	const zone = "zones: [{id: all, polygon: [{x: 0, y: 0.2611}, {x: 1, y: 0.2611}, {x: 1, y: 1}, {x: 0, y: 1}]}]\n"
	if err := os.WriteFile(line, []byte(zone), 0o600); err != nil {
		t.Fatal(err)
	}
	every10th(t, film+".boxes.csv", labels, 200)
	if out, err := exec.Command(built, "calibrate", "--in", film+".mp4", "--labels", labels, "--profile", line, "-o", calibrated).CombinedOutput(); err != nil {
		t.Fatalf("calibrate: %v: %s", err, out)
	}
	for name, profile := range map[string]string{"no label": line, "20 labels": calibrated} {
		told, err := exec.Command(built, "score", "--in", film+".mp4", "--learn", film+".mp4", "--counts", film+".counts.csv", "--profile", profile,
			"--every", "20", "--from", "200", "--to", "399", "--json").Output()
		var s scored
		if err == nil {
			err = json.Unmarshal(told, &s)
		}
		if err != nil || s.Pictures != 10 {
			t.Fatalf("%s: %v: %s", name, err, told)
		}
		t.Logf("%s: %s", name, told)
		if *s.MAE > 0.5 || math.Abs(*s.Bias) > 0.3 || *s.P90 > 1 || *s.Coverage < 0.85 {
			t.Errorf("%s: want an error of at most 0.5, a bias within 0.3, nine of ten within 1: %s", name, told)
		}
	}
}

// every10th copies the boxes of every tenth frame before end.
func every10th(t *testing.T, from, to string, end int) {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	kept := slices.DeleteFunc(rows, func(row []string) bool {
		n, err := strconv.Atoi(row[0])
		return err == nil && (n%10 != 0 || n >= end)
	})
	var lines strings.Builder
	for _, row := range kept {
		lines.WriteString(strings.Join(row, ",") + "\n")
	}
	if err := os.WriteFile(to, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
