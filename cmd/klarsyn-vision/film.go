//go:build cgo

package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"klarsyn/camera/coded"
	"klarsyn/camera/count"
	"klarsyn/camera/decode"
)

// film is a recorded video, read before the drop and decoded after it.
type film struct {
	track *coded.Track
	size  uint64
	// shown is the place of each picture, in decoding order, among those that are shown, and at when it is.
	shown []int
	at    []time.Duration
}

func readFilm(path string) (*film, error) {
	track, err := coded.LoadMP4(path)
	if err != nil {
		return nil, err
	}
	f := &film{track: track, shown: make([]int, len(track.Frames)), at: make([]time.Duration, len(track.Frames))}
	order := make([]int, len(track.Frames))
	due, pts := time.Duration(0), make([]time.Duration, len(track.Frames))
	for i, frame := range track.Frames {
		order[i], pts[i] = i, due+frame.PTSOffset
		due += frame.Duration
		for _, n := range frame.NALUs {
			f.size += uint64(len(n))
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(pts[a] - pts[b]) })
	for rank, i := range order {
		f.shown[i], f.at[rank] = rank, pts[i]-pts[order[0]]
	}
	return f, nil
}

// every is which pictures are looked at: keyframes alone if it is 0, else each n'th.
type every int

// pictures decodes a film and hands over, by its place among those shown, each picture that is looked at. One that
// cannot be decoded is told as such.
func (f *film) pictures(e every, show func(n int, p *decode.Picture, err error) error) error {
	d, err := decode.New(f.track.Format, count.FitSize)
	if err != nil {
		return err
	}
	defer d.Close()
	if e == 0 {
		for i, frame := range f.track.Frames {
			if !frame.Keyframe {
				continue
			}
			p, err := d.Keyframe(frame.NALUs)
			if err := show(f.shown[i], &p, err); err != nil {
				return err
			}
		}
		return nil
	}
	s, err := d.Stream()
	if err != nil {
		return err
	}
	defer s.Close()
	told := map[int]bool{} // as not decoded
	want := func(n int64) bool { return n%int64(e) == 0 && !told[int(n)] }
	one := func(n int64, p decode.Picture) error { return show(int(n), &p, nil) }
	for i := range len(f.track.Frames) + 1 {
		var nalus [][]byte // none at the end: what is still on its way
		n := len(f.track.Frames)
		if i < n {
			nalus, n = f.track.Frames[i].NALUs, f.shown[i]
		}
		err := s.Send(nalus, int64(n), want, one)
		if err == nil {
			continue
		}
		if !errors.Is(err, decode.ErrNoPicture) {
			return fmt.Errorf("picture %d: %w", n, err)
		}
		// What leans on a damaged picture is damaged, too, up to the next keyframe.
		for j := i; j < len(f.track.Frames) && (j == i || !f.track.Frames[j].Keyframe); j++ {
			if n := f.shown[j]; want(int64(n)) {
				told[n] = true
				if err := show(n, nil, err); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
