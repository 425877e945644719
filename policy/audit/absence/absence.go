// Package absence holds what lies in a bucket against what a log says of each clip: nothing may lie there that must be gone, and
// nothing that no entry explains. It needs a listing that the auditor made himself, and the log; no catalogue, and no Klarsyn.
package absence

import (
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/replay"
)

// Trace is one thing that lies in a bucket: a version of an object, a delete marker, an unfinished upload.
type Trace struct {
	Key     string
	Kind    string // Version, Marker or Upload
	Version string
	Size    int64
}

// The kinds of traces.
const (
	Version = "version"
	Marker  = "marker"
	Upload  = "upload"
)

// Options say what the listing is held against.
type Options struct {
	// Key is where the sealed bytes of a clip lie.
	Key func(camera string, from time.Time, id string) string
	// AsOf is what the log tells up to: its newest checkpoint, or when the listing was made if that was earlier.
	AsOf time.Time
	// Listed is when the listing was made.
	Listed time.Time
	// Grace is how long after its deadline a clip may be on its way out, and Stray how long the bytes of a lost one.
	Grace, Stray time.Duration
	// First is when the first entry got its number that the log still has; zero: it has all.
	First time.Time
	// Progress is told from time to time how many traces were looked at; nil: nobody is.
	Progress func(done int64)
}

// Report is what a listing came to. Problems are the first of Wrong.
type Report struct {
	AsOf     time.Time `json:"as_of"`
	Listed   time.Time `json:"listed"`
	Traces   int64     `json:"traces"`
	Live     int64     `json:"live"`     // clips whose deadline is to come
	Pending  int64     `json:"pending"`  // of which the recorder has not said that they are stored
	Held     int64     `json:"held"`     // clips that a hold keeps
	Cases    int       `json:"cases"`    // for which they are held
	Leaving  int64     `json:"leaving"`  // clips whose deletion began a moment before
	Marks    int64     `json:"marks"`    // small objects of Klarsyn itself that are no footage
	Newer    int64     `json:"newer"`    // traces of clips that are younger than the log
	Wrong    int64     `json:"wrong"`    // traces that must not lie there
	Problems []Problem `json:"problems"` // MaxProblems at most
}

// Problem is a trace that must not lie there, and why.
type Problem struct {
	Key     string `json:"key"`
	Kind    string `json:"kind"`
	Version string `json:"version,omitempty"`
	Size    int64  `json:"size"`
	Clip    string `json:"clip,omitempty"`
	Rule    Rule   `json:"rule"`
	What    string `json:"what"`
}

// Rule is why a trace must not lie there.
type Rule string

// The rules.
const (
	Gone        Rule = "deleted"     // the log says that it was deleted, or must be
	Overdue     Rule = "overdue"     // its deadline passed, and nothing holds it
	Unexplained Rule = "unexplained" // no entry explains it
	Pruned      Rule = "pruned"      // no entry that the log still has explains it: it is older than those
	Other       Rule = "other"       // the clip may lie there, and this is not what was stored of it
)

// MaxProblems is how many are told.
const MaxProblems = 1000

// slack is how far clocks may be apart, and how long an entry may wait for its checkpoint.
const slack = time.Minute

// maxMark is the size of what Klarsyn itself leaves that is no footage: where it tries what a server can, and where it says to
// which installation a bucket belongs.
const (
	maxMark = 1 << 10
	probes  = "probe/"
	belongs = "installation/"
)

// check looks at one trace after the other.
type check struct {
	Options
	clips  *replay.Clips
	report *Report
	seen   map[string]bool // clips of which a version was seen
	once   map[string]bool // clips that were counted
	cases  map[string]bool
}

// Check holds what lies there against the clips of a log, which was replayed up to o.AsOf. An error is one of the listing.
func Check(clips *replay.Clips, traces iter.Seq2[Trace, error], o Options) (*Report, error) {
	c := &check{
		Options: o, clips: clips, report: &Report{AsOf: o.AsOf, Listed: o.Listed, Problems: []Problem{}},
		seen: map[string]bool{}, once: map[string]bool{}, cases: map[string]bool{},
	}
	for t, err := range traces {
		if err != nil {
			return nil, fmt.Errorf("after %d of what lies there: %w", c.report.Traces, err)
		}
		c.report.Traces++
		c.look(t)
		if o.Progress != nil {
			o.Progress(c.report.Traces)
		}
	}
	c.report.Cases = len(c.cases)
	return c.report, nil
}

// look explains one trace, or says what is wrong with it.
func (c *check) look(t Trace) {
	if (strings.HasPrefix(t.Key, probes) || strings.HasPrefix(t.Key, belongs)) && t.Size <= maxMark {
		c.report.Marks++
		return
	}
	id := t.Key[strings.LastIndexByte(t.Key, '/')+1:]
	clip, known := c.clips.Clip(id)
	if !known {
		c.unknown(t, id)
		return
	}
	if rule, what := c.wrong(t, clip); rule != "" {
		c.add(t, id, rule, what)
		return
	}
	if c.once[id] {
		return
	}
	c.once[id] = true
	switch {
	case clip.State == replay.Deleting || clip.State == replay.Lost:
		c.report.Leaving++
	case clip.Held():
		c.report.Held++
		for _, h := range clip.Holds {
			c.cases[h.Case] = true
		}
	case c.due(clip):
		c.report.Leaving++
	case clip.State == replay.Pending:
		c.report.Pending++
	default:
		c.report.Live++
	}
}

func (c *check) due(clip replay.Clip) bool {
	return !clip.Deadline.IsZero() && c.AsOf.After(clip.Deadline)
}

// wrong says why a trace of a clip that is known must not lie there; empty if it may.
func (c *check) wrong(t Trace, clip replay.Clip) (Rule, string) {
	late := func(at time.Time, grace time.Duration) bool { return c.AsOf.After(at.Add(grace)) }
	switch {
	case clip.State == replay.Deleted:
		return Gone, "the log says that the clip was deleted at " + stamp(clip.Deleted)
	case clip.State == replay.Deleting && late(clip.Shredded, c.Grace):
		return Gone, "the log says that the clip was made unreadable at " + stamp(clip.Shredded) + ", to be deleted at once"
	case clip.State == replay.Lost && late(clip.Lost, c.Stray):
		return Gone, "the log says that nothing of the clip could be kept, at " + stamp(clip.Lost)
	case !clip.Held() && c.due(clip) && late(clip.Deadline, c.Grace) && clip.State != replay.Deleting && clip.State != replay.Lost:
		return Overdue, "its deadline was " + stamp(clip.Deadline) + ", nothing holds it, and the log does not say that it was deleted"
	case clip.Camera == "" || clip.From.IsZero():
		return Pruned, "the log no longer says of which camera and time the clip is: where it lies cannot be held against it"
	case t.Key != c.Key(clip.Camera, clip.From, clip.ID):
		return Other, "the clip lies at " + c.Key(clip.Camera, clip.From, clip.ID) + ", not here"
	case t.Kind == Marker:
		return Other, "a delete marker hides the clip, and Klarsyn makes none"
	case t.Kind != Version:
		return "", ""
	case clip.SHA256 != "" && t.Size != clip.Size:
		return Other, fmt.Sprintf("it has %d bytes, and %d were stored of the clip", t.Size, clip.Size)
	case c.seen[clip.ID]:
		return Other, "it is a second version of what is written once"
	}
	c.seen[clip.ID] = true
	return "", ""
}

// unknown is a trace of nothing that the log says anything of, or of what it says was deleted: see Tell.
func (c *check) unknown(t Trace, id string) {
	at, isClip := bornAt(id)
	switch {
	case !isClip:
		c.add(t, "", Unexplained, "it is named after no clip")
	case at.After(c.Listed.Add(slack)):
		c.add(t, id, Unexplained, "the clip's id says that it begins at "+stamp(at)+", after the listing was made")
	case at.After(c.AsOf.Add(-slack)):
		c.report.Newer++
	case !c.First.IsZero() && at.Before(c.First):
		c.add(t, id, Pruned, "the log says nothing of the clip any more: its entries begin at "+stamp(c.First))
	default:
		c.add(t, id, Unexplained, "no entry of the log is about the clip")
	}
}

// bornAt is when a clip's id was made.
func bornAt(id string) (time.Time, bool) {
	parsed, err := ulid.ParseStrict(id)
	if err != nil || parsed.String() != id {
		return time.Time{}, false
	}
	return parsed.Timestamp().UTC(), true
}

func (c *check) add(t Trace, clip string, rule Rule, what string) {
	c.report.Wrong++
	if len(c.report.Problems) < MaxProblems {
		c.report.Problems = append(c.report.Problems, Problem{
			Key: t.Key, Kind: t.Kind, Version: t.Version, Size: t.Size, Clip: clip, Rule: rule, What: what,
		})
	}
}

// Tell finds in the log what it said of clips that were forgotten as they were deleted: call it with all entries once more, if
// there are problems. Until then those are unexplained.
func (r *Report) Tell() func(index int64, l leaf.Leaf) {
	open := map[string][]int{}
	for i, p := range r.Problems {
		if p.Clip != "" && (p.Rule == Unexplained || p.Rule == Pruned) {
			open[p.Clip] = append(open[p.Clip], i)
		}
	}
	return func(index int64, l leaf.Leaf) {
		if len(open) == 0 {
			return
		}
		e, ours, err := replay.Read(l)
		if err != nil || !ours || e.Event != "clip-deleted" {
			return
		}
		for _, i := range open[e.ID] {
			r.Problems[i].Rule = Gone
			r.Problems[i].What = fmt.Sprintf("the log says that the clip was deleted at %s, in entry %d", stamp(l.Time), index)
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
