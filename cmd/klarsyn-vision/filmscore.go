//go:build cgo

package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"time"
)

// scored is how right the counts of a film are. Without a picture that was counted nothing is known of that.
type scored struct {
	Pictures int      `json:"pictures"` // with a count and a truth
	Unknown  int      `json:"unknown"`  // with a truth, and no count
	MAE      *float64 `json:"mae"`
	Bias     *float64 `json:"bias"`
	P90      *float64 `json:"p90"`           // of the absolute error
	Within1  *float64 `json:"within1"`       // share
	Coverage *float64 `json:"coverage"`      // share of truths between low and high
	Mean     *float64 `json:"mean"`          // of the truth
	Right    *float64 `json:"exactly_right"` // share, of counts brought to whole people
	MS       float64  `json:"ms_per_frame"`  // decoding and counting
}

// tally collects what scored tells.
type tally struct {
	off                              []float64 // absolute errors
	bias, mean, within, right, holds float64   // sums
	unknown                          int
}

func (t *tally) add(c counted, want float64) {
	if c.Present == nil {
		t.unknown++
		return
	}
	d := *c.Present - want
	t.off = append(t.off, math.Abs(d))
	t.bias += d
	t.mean += want
	if math.Abs(d) <= 1 {
		t.within++
	}
	if math.Round(*c.Present) == want {
		t.right++
	}
	if *c.Low <= want && want <= *c.High {
		t.holds++
	}
}

func (t *tally) scored() scored {
	s := scored{Pictures: len(t.off), Unknown: t.unknown}
	if s.Pictures == 0 {
		return s
	}
	share := func(sum float64) *float64 { sum /= float64(len(t.off)); return &sum }
	mae := 0.0
	for _, d := range t.off {
		mae += d
	}
	slices.Sort(t.off)
	s.P90 = &t.off[int(math.Ceil(0.9*float64(len(t.off))))-1]
	s.MAE, s.Bias, s.Mean, s.Within1, s.Right, s.Coverage = share(mae), share(t.bias), share(t.mean), share(t.within), share(t.right), share(t.holds)
	return s
}

// scoreFilm is klarsyn-vision score.
func scoreFilm(args []string, stdout io.Writer) error {
	var f filming
	var counts string
	var from, to int
	set := f.flags("score")
	set.StringVar(&counts, "counts", "", "CSV file with the columns frame and count, frames from 0 on (required)")
	set.IntVar(&from, "from", 0, "first frame that is scored")
	set.IntVar(&to, "to", math.MaxInt, "last frame that is scored")
	if done, err := parsed(set, args, stdout, `klarsyn-vision score --in square.mp4 --learn square.mp4 --counts square.counts.csv --from 200 --to 399 --json`); done || err != nil {
		return err
	}
	if counts == "" {
		return usageError{errors.New("--counts is missing: name a CSV file with the columns frame and count")}
	}
	truth, err := readCounts(counts)
	if err != nil {
		return usageError{err}
	}
	if err := f.open(); err != nil {
		return err
	}
	var t tally
	seen, began := 0, time.Now()
	err = f.run(func(c counted) error {
		if seen++; seen == 1 {
			began = time.Now()
		}
		if want, ok := truth[c.Frame]; ok && c.Frame >= from && c.Frame <= to {
			t.add(c, want)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s := t.scored()
	if s.Pictures+s.Unknown == 0 {
		return fmt.Errorf("no picture could be scored: those that --every looks at are not in %s", counts)
	}
	s.MS = time.Since(began).Seconds() * 1000 / float64(max(1, seen-1))
	if f.asJSON {
		return json.NewEncoder(stdout).Encode(s)
	}
	if s.Pictures == 0 {
		_, err = fmt.Fprintf(stdout, "none of %d pictures was counted: count tells why\n", s.Unknown)
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d pictures, %.2f people on average, %d without a count\nmean absolute error %.3f, bias %+.3f, P90 %.2f\nwithin one %.1f %%, exactly right %.1f %%, truth within the interval %.1f %%\n%.1f ms per picture\n",
		s.Pictures, *s.Mean, s.Unknown, *s.MAE, *s.Bias, *s.P90, 100**s.Within1, 100**s.Right, 100**s.Coverage, s.MS)
	return err
}

func readCounts(path string) (map[int]float64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--counts: %w", err)
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("--counts %s: %w", path, err)
	}
	truth := map[int]float64{}
	for i, line := range lines {
		if i == 0 && len(line) > 0 && line[0] == "frame" {
			continue
		}
		if len(line) < 2 {
			return nil, fmt.Errorf("--counts %s, line %d: want frame,count", path, i+1)
		}
		frame, err1 := strconv.Atoi(line[0])
		n, err2 := strconv.ParseFloat(line[1], 64)
		if err1 != nil || err2 != nil || frame < 0 || n < 0 {
			return nil, fmt.Errorf("--counts %s, line %d: %q,%q: want a frame from 0 on and a count", path, i+1, line[0], line[1])
		}
		truth[frame] = n
	}
	return truth, nil
}
