package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"klarsyn/deploy/testenv"
)

// paper is an assessment document, another one for each number.
func paper(n int) string {
	return fmt.Sprintf("{sha256: f%063d, date: 2026-01-%02d, decider: Polisregion Stockholm, diary: A%d/2026}", n, n, n)
}

// permitted is a running square whose cameras record in windows of seconds.
type permitted struct {
	*installation
	t       *testing.T
	cameras string
	windows []window
	auditor *visitor
}

type window struct{ from, to time.Time }

var stockholm = func() *time.Location {
	zone, err := time.LoadLocation("Europe/Stockholm")
	if err != nil {
		panic(err)
	}
	return zone
}()

// description is the square with a permit for k1 in the given state, and one that only lets k2 be counted.
func (p *permitted) description(version int, retention, more string) string {
	var weekly []string
	for _, w := range p.windows {
		weekly = append(weekly, fmt.Sprintf("{days: [mon, tue, wed, thu, fri, sat, sun], from: \"%s\", to: \"%s\"}",
			w.from.In(stockholm).Format("15:04:05"), w.to.In(stockholm).Format("15:04:05")))
	}
	return fmt.Sprintf(`node: prov
clip: 4s
cameras:
%spermits:
  - id: plattan
    version: %d
    regime: police
    basis: assessment
    assessment: %s
    place: {address: Sergels torg 1, type: torg}
    cameras: [k1]
    valid_from: 2026-01-01T00:00:00+01:00
    retention: %s
    purposes: [crime-investigation]
    schedule: {weekly: [%s]}
%s  - id: rakning
    version: 1
    regime: municipal
    basis: assessment
    assessment: %s
    cameras: [k2]
    valid_from: 2026-01-01T00:00:00+01:00
    retention: PT72H
    purposes: [public-order]
    mode: count-only
`, p.cameras, version, paper(version), retention, strings.Join(weekly, ", "), more, paper(9))
}

// apply puts a description in force and returns the plan.
func (p *permitted) apply(text string, args ...string) map[string]any {
	p.t.Helper()
	file := filepath.Join(filepath.Dir(p.data), "change.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	out := runAs(p.t, server, append([]string{"apply", "--data", p.data, "-f", file, "--json"}, args...)...)
	var plan map[string]any
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		p.t.Fatalf("apply: %v: %s", err, out)
	}
	return plan
}

func (p *permitted) explain(camera string, at time.Time) (said struct {
	Recording, Counting   bool
	Cause, Permit, Clause string
	Version               int
	Deadline              time.Time
}) {
	p.t.Helper()
	out := runAs(p.t, server, "permit", "explain", "--data", p.data, "--camera", camera, "--at", at.Format(time.RFC3339Nano), "--json")
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		p.t.Fatalf("explain: %v: %s", err, out)
	}
	return said
}

// stretch is an interval of a timeline.
type stretch struct {
	From, To                                  time.Time
	Cause, Clause, Permit, Detail, Clip, Rule string
	DeletedAt                                 *time.Time `json:"deleted_at"`
}

// timeline is a camera's time, which must tile what was asked.
func (p *permitted) timeline(camera string, from, to time.Time) []stretch {
	p.t.Helper()
	var body struct {
		From, To  time.Time
		Intervals []stretch
	}
	p.auditor.read("/api/v1/cameras/"+camera+"/timeline", url.Values{"from": {from.Format(time.RFC3339Nano)}, "to": {to.Format(time.RFC3339Nano)}}, &body)
	at := body.From
	for _, s := range body.Intervals {
		if !s.From.Equal(at) || !s.To.After(s.From) {
			p.t.Errorf("camera %s: the interval %+v does not begin at %s", camera, s, at)
		}
		at = s.To
	}
	if !at.Equal(body.To) || !body.From.Equal(from) {
		p.t.Errorf("camera %s: the timeline covers %s to %s, asked was %s to %s", camera, body.From, at, from, to)
	}
	return body.Intervals
}

// taken are the times that a simulated camera printed into its coded pictures.
var taken = regexp.MustCompile(canary + ` (\d{8}T\d{6}\.\d{6}Z)`)

func within(windows []window, t time.Time) bool {
	for _, w := range windows {
		if !t.Before(w.from) && t.Before(w.to) {
			return true
		}
	}
	return false
}

// TestPermits is what a permit says and what cameras do, over the wire: hours to the second, counting without recording,
// retention that is shortened, a suspension, a revocation, and a timeline in which every second has its cause.
func TestPermits(t *testing.T) {
	t.Parallel()
	folder := worldFolder(t)
	password := writePassword(t, folder)
	urls := startSim(t, password, "--cameras", "2")
	p := permittedSquare(t, folder, password, urls)

	last := p.windows[len(p.windows)-1]
	begun := time.Now()
	p.hoursAreKept(begun, last)
	p.nobodyIsRecordedWhereCountsAreAllowed(begun)
	p.explained()
	p.shortened()
	p.revoked(begun)
	p.registered()
	for _, proc := range []*testenv.Process{p.ingest, p.serve, p.retain} {
		if code := proc.Stop(t, 40*time.Second); code != 0 {
			t.Errorf("exit code %d after Ctrl-C", code)
		}
	}
	clean(t, fsck(t, p.data))
}

func permittedSquare(t *testing.T, folder, password string, urls map[string]string) *permitted {
	t.Helper()
	p := &permitted{t: t, installation: &installation{data: filepath.Join(folder, "square")}}
	for _, id := range []string{"k1", "k2"} {
		if urls[id] == "" {
			t.Fatalf("no camera %s: %v", id, urls)
		}
		p.cameras += fmt.Sprintf(`  - id: %s
    url: %s
    username: klarsyn
    password_file: %s
    zones: [{id: allt, name: Allt, polygon: [{x: 0, y: 0}, {x: 1, y: 0}, {x: 1, y: 1}, {x: 0, y: 1}]}]
    perspective: {slope: 0.3, offset: 0.1}
`, id, urls[id], password)
	}
	begin := time.Now().Add(20 * time.Second).Truncate(time.Second)
	p.windows = []window{{begin, begin.Add(10 * time.Second)}, {begin.Add(18 * time.Second), begin.Add(30 * time.Second)}}
	run(t, "init", "--data", p.data)
	if err := os.WriteFile(filepath.Join(p.data, "square.yaml"), []byte(p.description(1, "PT10M", "")), 0o640); err != nil {
		t.Fatal(err)
	}
	share(t, p.data)
	plan := p.apply(p.description(1, "PT10M", ""), "--dry-run")
	if plan["applied"] != false || len(plan["changes"].([]any)) != 4 {
		t.Errorf("dry run: %v", plan)
	}
	if plan = p.apply(p.description(1, "PT10M", "")); plan["applied"] != true {
		t.Errorf("applied: %v", plan)
	}
	p.retain = start(t, keeper, "retain", "--data", p.data)
	p.ingest = start(t, recorder, "ingest", "--data", p.data)
	p.serve = start(t, server, "serve", "--data", p.data, "--listen", "127.0.0.1:0")
	p.visitor = visitorOf(t, p.installation, "investigator")
	p.auditor = visitorOf(t, p.installation, "auditor")
	return p
}

// hoursAreKept decodes everything that was stored: no picture was taken outside the windows, by the camera's own clock.
func (p *permitted) hoursAreKept(begun time.Time, last window) {
	t := p.t
	t.Helper()
	time.Sleep(time.Until(last.to.Add(3 * time.Second)))
	var list []clip
	testenv.Eventually(t, 60*time.Second, "everything is stored", func() bool {
		var page struct{ Clips []clip }
		p.visitor.read("/api/v1/clips", url.Values{"camera": {"k1"}, "from": {begun.Add(-time.Minute).Format(time.RFC3339)}}, &page)
		list = page.Clips
		for _, c := range list {
			if c.State != "committed" {
				return false
			}
		}
		return len(list) >= 4
	})
	pictures := 0
	first := map[int]time.Time{}
	for _, c := range list {
		a := p.visitor.look(c.ID)
		if a.status != http.StatusOK {
			t.Fatalf("clip %s: %d %s", c.ID, a.status, a.body)
		}
		printed := taken.FindAllSubmatch(a.body, -1)
		if frames := decode(t, a.body).frames; frames != len(printed) || frames != c.Frames {
			t.Errorf("clip %s: %d pictures are decoded, %d bear a time, the catalogue says %d", c.ID, frames, len(printed), c.Frames)
		}
		for _, m := range printed {
			at, err := time.Parse("20060102T150405.000000Z", string(m[1]))
			if err != nil {
				t.Fatal(err)
			}
			pictures++
			if !within(p.windows, at) {
				t.Errorf("clip %s holds a picture that was taken at %s, outside the hours of the permit", c.ID, at)
			}
			for i, w := range p.windows {
				if !at.Before(w.from) && at.Before(w.to) && (first[i].IsZero() || at.Before(first[i])) {
					first[i] = at
				}
			}
		}
	}
	// 22 seconds at ten pictures a second, less what comes before the first keyframe of each window and the time to connect.
	if pictures < 150 {
		t.Errorf("only %d pictures were recorded in %v", pictures, p.windows)
	}
	for i, w := range p.windows {
		if wait := first[i].Sub(w.from); wait > 4*time.Second {
			t.Errorf("window %d opened at %s, its first picture is of %s later", i, w.from, wait)
		}
		t.Logf("window %d: first picture %s after it opened", i, first[i].Sub(w.from).Round(time.Millisecond))
	}
	recorded := time.Duration(0)
	for _, s := range p.timeline("k1", p.windows[0].from.Add(-5*time.Second), last.to.Add(2*time.Second)) {
		inside := within(p.windows, s.From) && within(p.windows, s.To.Add(-time.Microsecond))
		switch s.Cause {
		case "recorded":
			recorded += s.To.Sub(s.From)
			if !inside || s.Permit != "plattan@1" || s.Clip == "" {
				t.Errorf("recorded outside the hours, or under nothing: %+v", s)
			}
		case "not-permitted":
			if within(p.windows, s.From.Add(s.To.Sub(s.From)/2)) || s.Clause != "schedule" || s.Permit != "plattan@1" {
				t.Errorf("not permitted, but: %+v", s)
			}
		case "camera-down": // between the opening and the first keyframe
			if !inside || s.To.Sub(s.From) > 4*time.Second {
				t.Errorf("without a picture: %+v", s)
			}
		default:
			t.Errorf("an unexpected cause: %+v", s)
		}
	}
	if recorded < 15*time.Second {
		t.Errorf("%s are recorded, of 22 s", recorded)
	}
}

// nobodyIsRecordedWhereCountsAreAllowed sees that a permit for counting leaves nothing but counts.
func (p *permitted) nobodyIsRecordedWhereCountsAreAllowed(begun time.Time) {
	t := p.t
	t.Helper()
	var page struct{ Clips []clip }
	p.visitor.read("/api/v1/clips", url.Values{"camera": {"k2"}, "from": {begun.Add(-time.Minute).Format(time.RFC3339)}}, &page)
	if len(page.Clips) != 0 {
		t.Errorf("%d clips of a camera that may only count", len(page.Clips))
	}
	if n := len(samples(p.auditor, "k2")); n == 0 {
		t.Error("nobody was counted where that is permitted")
	}
	for _, s := range p.timeline("k2", begun, time.Now().Add(-time.Second)) {
		if s.Cause != "not-permitted" || s.Clause != "mode" || s.Permit != "rakning@1" {
			t.Errorf("the time of a camera that only counts: %+v", s)
		}
	}
	// k1 is counted in its hours, and not outside.
	for _, m := range samples(p.auditor, "k1") {
		if m.Present != nil && !within(p.windows, m.Time) {
			t.Errorf("people were counted at %s, outside the hours", m.Time)
		}
	}
}

func (p *permitted) explained() {
	t := p.t
	t.Helper()
	w := p.windows[0]
	if a := p.explain("k1", w.from); !a.Recording || a.Permit != "plattan" || a.Version != 1 || !a.Deadline.Equal(w.from.Add(10*time.Minute)) {
		t.Errorf("in the hours: %+v", a)
	}
	if a := p.explain("k1", w.to); a.Recording || a.Counting || a.Cause != "not-permitted" || a.Clause != "schedule" {
		t.Errorf("as they end: %+v", a)
	}
	if a := p.explain("k2", w.from); a.Recording || !a.Counting || a.Clause != "mode" {
		t.Errorf("only counts: %+v", a)
	}
	if a := p.explain("k7", w.from); a.Recording || a.Clause != "no-permit" {
		t.Errorf("a camera that nobody decided about: %+v", a)
	}
}

// shortened moves what is stored down, at once, and nothing up again.
func (p *permitted) shortened() {
	t := p.t
	t.Helper()
	deadlines := func() map[string]time.Time {
		var page struct{ Clips []clip }
		p.visitor.read("/api/v1/clips", url.Values{"camera": {"k1"}, "from": {p.windows[0].from.Format(time.RFC3339)}}, &page)
		all := map[string]time.Time{}
		for _, c := range page.Clips {
			all[c.ID] = c.Deadline
		}
		return all
	}
	before := deadlines()
	plan := p.apply(p.description(2, "PT9M", ""))
	moved, _ := plan["moved"].(map[string]any)
	if moved["clips"] != float64(len(before)) {
		t.Errorf("%v clips moved, of %d", moved["clips"], len(before))
	}
	shorter := deadlines()
	for id, deadline := range before {
		if want := deadline.Add(-time.Minute); !shorter[id].Equal(want) {
			t.Errorf("clip %s: deadline %s, want %s", id, shorter[id], want)
		}
	}
	p.apply(p.description(3, "PT1H", ""))
	for id, deadline := range deadlines() {
		if !deadline.Equal(shorter[id]) {
			t.Errorf("clip %s: a longer retention moved its deadline to %s", id, deadline)
		}
	}
}

// revoked erases what was unlawful within seconds, and says so.
func (p *permitted) revoked(begun time.Time) {
	t := p.t
	t.Helper()
	p.apply(p.description(3, "PT1H", "    state: suspended\n    reason: bedömningen prövas\n"))
	if a := p.explain("k1", time.Now().Add(24*time.Hour)); a.Recording || a.Cause != "suspended" {
		t.Errorf("suspended: %+v", a)
	}
	p.apply(p.description(3, "PT1H", "    state: revoked\n    reason: IMY\n    unlawful: true\n    effective: 2026-01-01T00:00:00Z\n"))
	testenv.Eventually(t, 30*time.Second, "what was collected unlawfully is gone", func() bool {
		gone := 0
		for _, s := range p.timeline("k1", p.windows[0].from, p.windows[1].to) {
			if s.Cause == "recorded" {
				return false
			}
			if s.Cause == "deleted" {
				if s.Rule != "plattan@3 unlawful" {
					t.Errorf("deleted by %q", s.Rule)
				}
				if s.DeletedAt == nil {
					return false
				}
				gone++
			}
		}
		return gone > 0
	})
	_ = begun
}

// registered sees the register, with its five items and the history.
func (p *permitted) registered() {
	t := p.t
	t.Helper()
	var body struct {
		Register []struct {
			Permit, Address, Purposes, State, Assessment string
			PlaceType                                    string `json:"place_type"`
			Technology                                   string `json:"audio_or_special_technology"`
			History                                      []struct{ State string }
		}
	}
	p.auditor.read("/api/v1/register", nil, &body)
	for _, row := range body.Register {
		if row.Permit != "plattan" {
			continue
		}
		if row.Address != "Sergels torg 1" || row.PlaceType != "torg" || row.Purposes != "crime-investigation" || row.Technology != "none" ||
			row.Assessment == "" || row.State != "revoked" || len(row.History) < 6 {
			t.Errorf("the register says %+v", row)
		}
		return
	}
	t.Errorf("plattan is not in the register: %+v", body)
}
