//go:build cgo

package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"

	"klarsyn/camera"
	"klarsyn/camera/count"
	"klarsyn/camera/decode"
)

// mostStills is how many labelled pictures are looked at; more teach nothing.
const mostStills = 200

// calibrated is a profile and what calibrate says of it.
type calibrated struct {
	Profile camera.Profile     `json:"profile"`
	Before  *float64           `json:"mae_before,omitempty"` // of the same stills without calibration but for the perspective
	Errors  []count.StillError `json:"errors,omitempty"`
	Places  []count.PlaceError `json:"places,omitempty"`
	Unused  map[int]string     `json:"unused,omitempty"` // labelled pictures that could not be looked at
}

// calibrating is the flags of calibrate.
type calibrating struct {
	filming
	labels, out, conditions string
	mounting                camera.Mounting
	boxes                   map[int][]count.Box // by picture, in pixels of the film
}

// calibrateFilm is klarsyn-vision calibrate. With a film and -o it has itself run once more, without: who decodes video may
// write no file.
func calibrateFilm(args []string, stdout io.Writer) error {
	var c calibrating
	set := c.flags()
	if done, err := parsed(set, args, stdout, `klarsyn-vision calibrate --in square.mp4 --labels boxes.csv -o k1.yaml
  klarsyn-vision calibrate --height 6.2 --tilt 14 --lens 38 -o k1.yaml`); done || err != nil {
		return err
	}
	mounted := set.Changed("height") || set.Changed("tilt") || set.Changed("lens")
	switch {
	case mounted && (!set.Changed("height") || !set.Changed("tilt") || !set.Changed("lens")):
		return usageError{errors.New("--height, --tilt and --lens belong together: measure all three")}
	case !mounted && c.in == "":
		return usageError{errors.New("nothing to calibrate from: name --in and --labels, or --height, --tilt and --lens")}
	case (c.in == "") != (c.labels == ""):
		return usageError{errors.New("--in and --labels belong together: a film, and who is in some of its pictures")}
	}
	if mounted {
		if _, err := c.mounting.Perspective(); err != nil {
			return usageError{err}
		}
	}
	var result calibrated
	switch {
	case c.in == "":
		if err := c.readProfile(); err != nil {
			return err
		}
		c.mount(&c.known)
		result.Profile = c.known
	case c.out != "":
		var err error
		if result, err = calibrateApart(args); err != nil {
			return err
		}
	default:
		if err := c.open(); err != nil {
			return err
		}
		if mounted {
			c.mount(&c.known)
		}
		var err error
		if result, err = c.calibrate(); err != nil {
			return err
		}
	}
	return c.tell(result, stdout)
}

func (c *calibrating) flags() *pflag.FlagSet {
	s := pflag.NewFlagSet("klarsyn-vision calibrate", pflag.ContinueOnError)
	s.StringVar(&c.in, "in", "", "MP4 file with H.264 or H.265")
	s.StringVar(&c.labels, "labels", "", "CSV file with the columns frame,x,y,w,h: a box in pixels around everybody in some 20 pictures; a line with a frame alone says that nobody is there")
	s.StringVar(&c.learn, "learn", "", "MP4 file of the same camera to learn the background from (default: --in)")
	s.StringVar(&c.profile, "profile", "", "YAML or JSON file to begin with: zones, ground, occluders and masks stay")
	s.StringVar(&c.zones, "zones", "", "YAML or JSON file with a list of zones, instead of the profile's")
	s.StringVarP(&c.out, "out", "o", "", "file to write the profile to (default: the screen)")
	s.StringVar(&c.conditions, "conditions", "", `what the weather was, such as "overcast, noon"`)
	s.Float64Var(&c.mounting.Height, "height", 0, "metres from the ground to the camera, instead of labels or beside them")
	s.Float64Var(&c.mounting.Tilt, "tilt", 0, "degrees by which it looks down")
	s.Float64Var(&c.mounting.Lens, "lens", 0, "degrees that its picture spans from top to bottom")
	s.BoolVar(&c.asJSON, "json", false, "print JSON, for programs")
	return s
}

func (c *calibrating) mount(p *camera.Profile) {
	m := c.mounting
	p.Perspective, p.Mounting = camera.Perspective{}, &m
}

// open reads the film, the labels and the profile.
func (c *calibrating) open() error {
	var err error
	if c.boxes, err = readBoxes(c.labels); err != nil {
		return usageError{err}
	}
	if len(c.boxes) > mostStills {
		return usageError{fmt.Errorf("--labels %s: %d pictures are labelled: want at most %d, 20 do", c.labels, len(c.boxes), mostStills)}
	}
	if c.learn == "" {
		c.learn = c.in
	}
	c.every = "all"
	if err := c.filming.open(); err != nil {
		return err
	}
	if c.whole {
		c.known.Zones = nil
	}
	for n := range c.boxes {
		if n >= len(c.film.at) {
			return usageError{fmt.Errorf("--labels %s: picture %d is not in %s, which has %d", c.labels, n, c.in, len(c.film.at))}
		}
	}
	return nil
}

// calibrate drops every right, learns the background, looks at the labelled pictures and makes a profile.
func (c *calibrating) calibrate() (calibrated, error) {
	looking, err := c.begin()
	if err != nil {
		return calibrated{}, err
	}
	defer looking.close()
	out := calibrated{Unused: map[int]string{}}
	var stills []count.Still
	err = c.film.pictures(1, func(n int, p *decode.Picture, err error) error {
		boxes, labelled := c.boxes[n]
		if !labelled {
			return nil
		}
		if err != nil {
			out.Unused[n] = err.Error()
			return nil
		}
		if looking.counter == nil || p.Width != looking.width || p.Height != looking.height {
			out.Unused[n] = "the film that is learnt from has pictures of another size"
			return nil
		}
		small := make([]count.Box, len(boxes))
		fx, fy := float64(p.Width)/float64(p.CodedWidth), float64(p.Height)/float64(p.CodedHeight)
		for i, b := range boxes {
			small[i] = count.Box{X: b.X * fx, Y: b.Y * fy, W: b.W * fx, H: b.H * fy}
		}
		still, err := looking.counter.Still(n, small, p.I420)
		if errors.Is(err, count.ErrNoStill) {
			out.Unused[n] = err.Error()
			return nil
		}
		if err != nil {
			return err
		}
		stills = append(stills, still)
		return nil
	})
	if err != nil {
		return out, err
	}
	made, err := count.Calibrate(c.known, looking.width, looking.height, stills)
	if err != nil {
		return out, fmt.Errorf("--labels: %w (%d more could not be looked at: %v)", err, len(out.Unused), firstOf(out.Unused))
	}
	made.Profile.Calibration.Date, made.Profile.Calibration.Conditions = time.Now().UTC().Truncate(time.Second), c.conditions
	out.Profile, out.Before, out.Errors, out.Places = made.Profile, &made.Before, made.Errors, made.Places
	slices.SortFunc(out.Errors, func(a, b count.StillError) int { return a.Frame - b.Frame })
	return out, nil
}

func firstOf(reasons map[int]string) string {
	for n, why := range reasons {
		return fmt.Sprintf("picture %d: %s", n, why)
	}
	return "none"
}

// calibrateApart runs the same without a file to write to, and takes what it prints.
func calibrateApart(args []string) (calibrated, error) {
	self, err := os.Executable()
	if err != nil {
		return calibrated{}, fmt.Errorf("find klarsyn-vision: %w", err)
	}
	cmd := exec.Command(self, append(append([]string{"calibrate"}, args...), "-o", "", "--json")...) //nolint:gosec // the program itself, with the arguments that it was given
	cmd.Stderr = os.Stderr
	b, err := cmd.Output()
	if exit := (&exec.ExitError{}); errors.As(err, &exit) && exit.Exited() {
		return calibrated{}, failedApart(exit.ExitCode())
	}
	if err != nil {
		return calibrated{}, fmt.Errorf("calibrate: %w", err)
	}
	var out calibrated
	if err := json.Unmarshal(b, &out); err != nil {
		return out, fmt.Errorf("calibrate printed no JSON: %w", err)
	}
	return out, out.Profile.Validate()
}

// failedApart is the exit code of one that has told why by itself.
type failedApart int

func (f failedApart) Error() string { return "calibrate failed" }

// tell writes the profile and says how good it is.
func (c *calibrating) tell(r calibrated, stdout io.Writer) error {
	text, err := yaml.Marshal(r.Profile)
	if err != nil {
		return fmt.Errorf("write the profile: %w", err)
	}
	if c.out != "" {
		if err := writeWhole(c.out, text); err != nil {
			return fmt.Errorf("-o: %w", err)
		}
	}
	if c.asJSON {
		return json.NewEncoder(stdout).Encode(r)
	}
	if c.out == "" {
		if _, err := stdout.Write(text); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(stdout, "wrote %s: name it in square.yaml, in place of the camera's zones, as profile: %s; or by hand, with --profile %s\n", c.out, c.out, c.out)
	}
	cal := r.Profile.Calibration
	if cal == nil {
		return nil
	}
	say := func(format string, args ...any) { // as comments where the profile goes to the screen
		if c.out == "" {
			format = "# " + format
		}
		fmt.Fprintf(stdout, format+"\n", args...)
	}
	say("%d stills with %d people, each counted by what the others teach: mean absolute error %.2f (%.2f without calibration), bias %+.2f, P90 %.1f",
		cal.Stills, cal.People, cal.MAE, *r.Before, cal.Bias, cal.P90)
	for _, p := range r.Places {
		say("%-14s %3d people, %2d missed, %2d seen where nobody is", p.Place, p.People, p.Missed, p.Invented)
	}
	for _, e := range r.Errors {
		if e.Truth != e.Counted {
			say("picture %d: %d people, %d counted", e.Frame, e.Truth, e.Counted)
		}
	}
	for n, why := range r.Unused {
		say("picture %d was not used: %s", n, why)
	}
	return nil
}

// writeWhole writes a file under its name only when it is whole.
func writeWhole(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".klarsyn-profile-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // there is nothing else to be done for it
	}
	return err
}

// readBoxes reads labels: frame,x,y,w,h in pixels, or a frame alone.
func readBoxes(path string) (map[int][]count.Box, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--labels: %w", err)
	}
	defer file.Close()
	r := csv.NewReader(file)
	r.FieldsPerRecord = -1
	lines, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("--labels %s: %w", path, err)
	}
	boxes := map[int][]count.Box{}
	for i, line := range lines {
		if i == 0 && line[0] == "frame" {
			continue
		}
		frame, err := strconv.Atoi(line[0])
		if err != nil || frame < 0 || len(line) != 5 && len(line) != 1 {
			return nil, fmt.Errorf("--labels %s, line %d: %q: want frame,x,y,w,h, or a frame alone", path, i+1, line)
		}
		if len(line) == 1 {
			boxes[frame] = append(boxes[frame], []count.Box{}...)
			continue
		}
		var v [4]float64
		for k := range v {
			if v[k], err = strconv.ParseFloat(line[k+1], 64); err != nil {
				return nil, fmt.Errorf("--labels %s, line %d: %q is no number", path, i+1, line[k+1])
			}
		}
		if !(v[2] > 0 && v[3] > 0) {
			return nil, fmt.Errorf("--labels %s, line %d: a box of %gx%g: want pixels above 0", path, i+1, v[2], v[3])
		}
		boxes[frame] = append(boxes[frame], count.Box{X: v[0], Y: v[1], W: v[2], H: v[3]})
	}
	return boxes, nil
}
