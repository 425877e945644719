//go:build cgo

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"

	"klarsyn/camera"
	"klarsyn/camera/count"
	"klarsyn/camera/decode"
	"klarsyn/camera/vision/sandbox"
)

// usageError is wrong use: exit code 2.
type usageError struct{ error }

// counted is one picture's numbers, as klarsyn-vision count prints them.
type counted struct {
	T       float64             `json:"t"` // seconds since the first picture
	Frame   int                 `json:"frame"`
	Present *float64            `json:"present"` // null unless the quality is ok: unknown is never zero
	Low     *float64            `json:"low"`
	High    *float64            `json:"high"`
	Moving  *float64            `json:"moving"`
	Zones   map[string]*numbers `json:"zones"`
	Quality camera.Quality      `json:"quality"`
	Method  camera.Method       `json:"method"`
	Fault   string              `json:"fault,omitempty"`
}

// numbers is one zone's part.
type numbers struct {
	Present float64 `json:"present"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	Moving  float64 `json:"moving"`
}

// filming is what count and score have in common: a film, how it is looked at, and what is known of its camera.
type filming struct {
	in, learn, profile, zones, every string
	asJSON                           bool

	film, lesson *film
	each         every
	known        camera.Profile
	whole        bool // zones were not given: all of the picture is one
}

// lessons is how many pictures of a film are learnt from, about: ten minutes of keyframes.
const lessons = 300

// everywhere is the zone of a picture for which none was given.
const everywhere = "all"

func (f *filming) flags(name string) *pflag.FlagSet {
	s := pflag.NewFlagSet("klarsyn-vision "+name, pflag.ContinueOnError)
	s.StringVar(&f.in, "in", "", "MP4 file with H.264 or H.265 (required)")
	s.StringVar(&f.learn, "learn", "", "MP4 file of the same camera to learn the background from, beforehand")
	s.StringVar(&f.profile, "profile", "", "YAML or JSON file with zones and perspective (default: the whole picture, and the scale is learnt from people who walk alone)")
	s.StringVar(&f.zones, "zones", "", "YAML or JSON file with a list of zones, instead of the profile's")
	s.StringVar(&f.every, "every", "keyframe", "which pictures: keyframe, all, or a number for each n'th")
	s.BoolVar(&f.asJSON, "json", false, "print JSON, for programs")
	return s
}

// open reads all that is to be read, as long as there is a right to.
func (f *filming) open() error {
	if f.in == "" {
		return usageError{errors.New("--in is missing: name an MP4 file")}
	}
	switch n, err := strconv.Atoi(f.every); {
	case f.every == "keyframe":
	case f.every == "all":
		f.each = 1
	case err == nil && n > 0:
		f.each = every(n)
	default:
		return usageError{fmt.Errorf("--every %q: want keyframe, all, or a number from 1 on", f.every)}
	}
	if err := f.readProfile(); err != nil {
		return err
	}
	if len(f.known.Zones) == 0 {
		f.whole = true
		f.known.Zones = []camera.Zone{{ID: everywhere, Polygon: []camera.Point{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 1, Y: 1}, {X: 0, Y: 1}}}}
	}
	var err error
	if f.film, err = readFilm(f.in); err != nil {
		return usageError{fmt.Errorf("--in: %w", err)}
	}
	if f.learn != "" {
		if f.lesson, err = readFilm(f.learn); err != nil {
			return usageError{fmt.Errorf("--learn: %w", err)}
		}
	}
	return nil
}

// readProfile reads what is known of the camera.
func (f *filming) readProfile() error {
	if err := readYAML(f.profile, "--profile", &f.known); err != nil {
		return err
	}
	if f.zones != "" {
		f.known.Zones = nil
		if err := readYAML(f.zones, "--zones", &f.known.Zones); err != nil {
			return err
		}
	}
	if err := f.known.Validate(); err != nil {
		return usageError{fmt.Errorf("profile: %w", err)}
	}
	return nil
}

func readYAML(path, flag string, into any) error {
	if path == "" {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", flag, err)}
	}
	if err := yaml.UnmarshalWithOptions(b, into, yaml.Strict()); err != nil {
		return usageError{fmt.Errorf("%s %s: %w", flag, path, err)}
	}
	return nil
}

// begin drops every right and learns from the lesson.
func (f *filming) begin() (*counting, error) {
	if err := prepare(); err != nil {
		return nil, err
	}
	limits := countLimits()
	limits.Data += 2 * f.film.size
	if f.lesson != nil {
		limits.Data += 2 * f.lesson.size
	}
	limits.Output = 1 << 30
	if err := sandbox.Drop(limits); err != nil {
		return nil, err
	}
	c := &counting{}
	if f.lesson == nil {
		return c, nil
	}
	// Twice: the first time for what is always there, the second for how tall people are in front of it.
	each := every(max(1, len(f.lesson.at)/lessons))
	for range 2 {
		err := f.lesson.pictures(each, func(_ int, p *decode.Picture, err error) error {
			if err != nil {
				return nil // what the camera sends damaged teaches nothing
			}
			_, err = c.look(f.known, 0, p, true)
			return err
		})
		if err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// run looks at the film; each gets one picture's numbers.
func (f *filming) run(each func(counted) error) error {
	c, err := f.begin()
	if err != nil {
		return err
	}
	defer c.close()
	return f.film.pictures(f.each, func(n int, p *decode.Picture, err error) error {
		out := counted{T: math.Round(f.film.at[n].Seconds()*1e6) / 1e6, Frame: n, Zones: map[string]*numbers{}, Quality: camera.QualityDecoderLost, Method: count.Method}
		if err != nil {
			out.Fault = err.Error()
			return each(out)
		}
		samples, err := c.look(f.known, 0, p, true)
		if err != nil {
			return err
		}
		out.add(samples, f.whole)
		return each(out)
	})
}

// add sums zones up.
func (c *counted) add(samples []camera.Sample, whole bool) {
	for _, s := range samples {
		if whole {
			break
		}
		if c.Zones[s.Zone] = nil; s.Quality == camera.QualityOK {
			c.Zones[s.Zone] = &numbers{Present: s.Present, Low: s.Low, High: s.High, Moving: s.Moving}
		}
	}
	sum := camera.Total(samples)
	if c.Quality = sum.Quality; c.Quality != camera.QualityOK {
		return
	}
	c.Present, c.Low, c.High, c.Moving = &sum.Present, &sum.Low, &sum.High, &sum.Moving
}

// countFilm is klarsyn-vision count with a file.
func countFilm(args []string, stdout io.Writer) error {
	var f filming
	set := f.flags("count")
	if done, err := parsed(set, args, stdout, `klarsyn-vision count --in square.mp4 --learn yesterday.mp4 --profile k1.yaml --json`); done || err != nil {
		return err
	}
	if err := f.open(); err != nil {
		return err
	}
	out := bufio.NewWriter(stdout)
	enc := json.NewEncoder(out)
	err := f.run(func(c counted) error {
		if f.asJSON {
			return enc.Encode(c)
		}
		if c.Present == nil {
			_, err := fmt.Fprintf(out, "%8.2f s  picture %6d  %s %s\n", c.T, c.Frame, c.Quality, c.Fault)
			return err
		}
		_, err := fmt.Fprintf(out, "%8.2f s  picture %6d  present %5.1f (%.1f to %.1f), moving %5.1f\n", c.T, c.Frame, *c.Present, *c.Low, *c.High, *c.Moving)
		return err
	})
	return errors.Join(err, out.Flush())
}

// parsed reads flags; done says that only help was wanted, and given.
func parsed(set *pflag.FlagSet, args []string, stdout io.Writer, example string) (done bool, err error) {
	set.Usage = func() {} // a mistake gets one line, not a page
	err = set.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		_, err = fmt.Fprintf(stdout, "Usage of %s:\n%s\nExample:\n  %s\n", set.Name(), set.FlagUsages(), example)
		return true, err
	case err != nil:
		return false, usageError{fmt.Errorf("%w: see %s --help", err, set.Name())}
	case set.NArg() > 0:
		return false, usageError{fmt.Errorf("unexpected argument %q: everything is a flag", set.Arg(0))}
	}
	return false, nil
}
