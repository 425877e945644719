//go:build cgo

package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"klarsyn/camera"
	"klarsyn/camera/count"
)

// TestRecorded measures the counter on real video: KLARSYN_DATA names a folder with
// pets09_s2l1_f000-399_480x360.mp4, .counts.csv and .boxes.csv.
func TestRecorded(t *testing.T) {
	dir := os.Getenv("KLARSYN_DATA")
	if dir == "" {
		t.Skip("set KLARSYN_DATA to a folder with pets09_s2l1_f000-399_480x360.mp4, .boxes.csv and .counts.csv")
	}
	const name, width, height, frames = "pets09_s2l1_f000-399_480x360", 416, 312, 400
	truth := readTable(t, filepath.Join(dir, name+".counts.csv"))
	profile := camera.Profile{
		Zones:       []camera.Zone{{ID: "all", Polygon: []camera.Point{{X: 0, Y: 94. / 360}, {X: 1, Y: 94. / 360}, {X: 1, Y: 1}, {X: 0, Y: 1}}}},
		Perspective: fitPerspective(readTable(t, filepath.Join(dir, name+".boxes.csv")), 360, 200),
	}
	pictures := small(t, filepath.Join(dir, name+".mp4"), width, height, frames)
	c, err := count.New(profile, width, height, 20)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	// The camera has been running: its background is known from the same clip, unlabelled.
	for n := 10; n < frames; n += 20 {
		if _, err := c.Count(pictures[n]); err != nil {
			t.Fatal(err)
		}
	}
	var s score
	for n := 200; n < frames; n += 5 {
		got, err := c.Count(pictures[n])
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Quality != camera.QualityOK {
			t.Fatalf("frame %d: %+v", n, got[0])
		}
		s.add(got[0], truth[n][1])
	}
	t.Logf("%s, perspective %+v: %s", name, profile.Perspective, s)
	if s.mae() > 0.85*s.constant() {
		t.Errorf("mean absolute error %.2f, a constant has %.2f: want at most 0.85 of it", s.mae(), s.constant())
	}
}

// score collects errors.
type score struct {
	truth, got []float64
	inside     int
}

func (s *score) add(got camera.Sample, truth float64) {
	s.truth, s.got = append(s.truth, truth), append(s.got, got.Present)
	if got.Low <= truth && truth <= got.High {
		s.inside++
	}
}

func (s *score) mae() float64 {
	sum := 0.0
	for i := range s.got {
		sum += math.Abs(s.got[i] - s.truth[i])
	}
	return sum / float64(len(s.got))
}

// constant is the error of the best constant: the mean truth.
func (s *score) constant() float64 {
	mean, sum := 0.0, 0.0
	for _, v := range s.truth {
		mean += v / float64(len(s.truth))
	}
	for _, v := range s.truth {
		sum += math.Abs(v - mean)
	}
	return sum / float64(len(s.truth))
}

func (s score) String() string {
	bias, mean := 0.0, 0.0
	for i := range s.got {
		bias += (s.got[i] - s.truth[i]) / float64(len(s.got))
		mean += s.truth[i] / float64(len(s.got))
	}
	return fmt.Sprintf("%d pictures, mean truth %.2f: MAE %.2f (constant %.2f), bias %+.2f, interval holds %.0f %%",
		len(s.got), mean, s.mae(), s.constant(), bias, 100*float64(s.inside)/float64(len(s.got)))
}

// fitPerspective is the least-squares line of box heights over foot rows, of the frames before end.
func fitPerspective(boxes [][]float64, height, end float64) camera.Perspective {
	var n, sx, sy, sxx, sxy float64
	for _, b := range boxes {
		if b[0] >= end {
			continue
		}
		x, y := (b[2]+b[4])/height, b[4]/height
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	slope := (n*sxy - sx*sy) / (n*sxx - sx*sx)
	return camera.Perspective{Slope: slope, Offset: (sy - slope*sx) / n}
}

func readTable(t *testing.T, path string) [][]float64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out [][]float64
	for _, row := range rows[1:] {
		var values []float64
		for _, cell := range row {
			v, err := strconv.ParseFloat(cell, 64)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, v)
		}
		out = append(out, values)
	}
	return out
}

// small decodes a file to small pictures with the ffmpeg command.
func small(t *testing.T, path string, width, height, frames int) [][]byte {
	t.Helper()
	cmd := exec.Command("ffmpeg", "-nostdin", "-v", "error", "-i", path, "-vf",
		fmt.Sprintf("scale=%d:%d:flags=area", width, height), "-pix_fmt", "yuv420p", "-f", "rawvideo", "-")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pictures [][]byte
	for range frames {
		p := make([]byte, width*height*3/2)
		if _, err := io.ReadFull(out, p); err != nil {
			t.Fatal(err)
		}
		pictures = append(pictures, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return pictures
}
