package fsck

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"klarsyn/policy"
	"klarsyn/retention"
)

// Told is what the log says of a clip. What it does not say, or says no more, is zero.
type Told struct {
	ID       string
	State    retention.State
	Deadline time.Time
	SHA256   [sha256.Size]byte
	Holds    []string // in force
	HeldOver time.Time
	Lost     time.Time
	Shredded time.Time
}

// Story is a log that was replayed.
type Story interface {
	All() iter.Seq[Told]
	Clip(id string) (Told, bool)
	// Begins is when the oldest entry was logged that is kept; zero if none was ever removed.
	Begins() time.Time
}

// ErrStory says that a log cannot be replayed, since it holds what nobody can have logged.
var ErrStory = errors.New("the log cannot be replayed")

// logged is I7 and I14: what a row says happened, the log says, too, and the other way round. Rows are compared with the log once
// all were read; whatever differs then is read again.
type logged struct {
	Check
	holds *holds
	rows  map[digest]brief
	// told is what the log says of clips that are or were held.
	told      map[string]Told
	made, has Result
}

// brief is a row as it is kept until the log was replayed.
type brief struct {
	start    int64 // microseconds
	deadline int64
	cased    bool
	part     bool // cut out of another clip: it may have been past its deadline when it was made
	state    int8
	sha      [8]byte // the beginning of its hash: it is compared, not trusted
}

// order is that of the states: a clip only ever goes on in it.
var order = [...]retention.State{retention.Pending, retention.Committed, retention.Partial, retention.Lost, retention.Deleting, retention.Deleted}

func rank(s retention.State) int8 { return int8(slices.Index(order[:], s)) }

func (c Check) logged(h *holds) *logged {
	return &logged{
		Check: c, holds: h, rows: map[digest]brief{}, told: map[string]Told{},
		made: Result{ID: "I7", What: "what became of a clip was logged when it did"},
		has:  Result{ID: "I14", What: "replaying the log makes the catalogue's states"},
	}
}

func briefOf(c retention.Clip) brief {
	b := brief{start: c.Start.UnixMicro(), deadline: c.Deadline.UnixMicro(), cased: !c.Cased.IsZero(), part: c.Parent != "", state: rank(c.State)}
	copy(b.sha[:], c.SHA256[:])
	return b
}

func (l *logged) row(_ context.Context, row retention.Row) error {
	if l.Replay != nil {
		l.rows[digestOf(row.ID)] = briefOf(row.Clip)
	}
	return nil
}

func (l *logged) done(ctx context.Context) ([]Result, error) {
	if l.Replay == nil {
		l.made.skip("the log: %s", l.NoLog)
		l.has.skip("the log: %s", l.NoLog)
		return []Result{l.made, l.has}, nil
	}
	story, err := l.replay(ctx)
	if story == nil {
		return []Result{l.made, l.has}, err
	}
	l.made.Checked, l.has.Checked = len(l.rows), len(l.rows)
	odd, err := l.compare(ctx, story)
	if err != nil {
		return nil, err
	}
	// A clip may have gone on since its row was read; a row is never behind the log, or before it, for longer.
	if odd, err = l.differing(ctx, story, odd); err != nil {
		return nil, err
	}
	if len(odd) > 0 {
		if story, err = l.replay(ctx); story == nil {
			return []Result{l.made, l.has}, err
		}
		if odd, err = l.differing(ctx, story, odd); err != nil {
			return nil, err
		}
	}
	for _, id := range odd {
		l.report(ctx, story, id)
	}
	l.remember(story)
	return []Result{l.made, l.has}, nil
}

// replay is nil, and no error, if the log is damaged: that is I8's to say.
func (l *logged) replay(ctx context.Context) (Story, error) {
	story, err := l.Replay(ctx)
	if errors.Is(err, ErrStory) {
		l.made.skip("the log: %v", err)
		l.has.skip("the log: %v", err)
		return nil, nil //nolint:nilnil // that there is no story was noted
	}
	if err != nil {
		return nil, err
	}
	return story, nil
}

// compare lists the clips of which rows and log say different things. It forgets the rows.
func (l *logged) compare(ctx context.Context, story Story) ([]string, error) {
	var odd []string
	for told := range story.All() {
		d := digestOf(told.ID)
		row, ok := l.rows[d]
		delete(l.rows, d)
		if !ok || rank(told.State) != row.state && told.State != "" || len(differences(row, told)) > 0 || !l.sameHolds(told) {
			odd = append(odd, told.ID)
		}
	}
	var pruned int
	begins := story.Begins()
	for d, row := range l.rows {
		if row.start < begins.UnixMicro() && !begins.IsZero() {
			pruned++
			delete(l.rows, d)
		}
	}
	if pruned > 0 {
		l.made.skip("%d clips whose entries are older than the log is kept", pruned)
	}
	if len(l.rows) > 0 { // what they are called nobody remembers
		for row, err := range l.Books.All(ctx) {
			if err != nil {
				return nil, err
			}
			if _, ok := l.rows[digestOf(row.ID)]; ok {
				odd = append(odd, row.ID)
			}
		}
	}
	l.rows = nil
	slices.Sort(odd)
	return odd, nil
}

// differing are those of some clips whose row, as it is now, still differs.
func (l *logged) differing(ctx context.Context, story Story, ids []string) ([]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	fresh, err := l.loadHolds(ctx)
	if err != nil {
		return nil, err
	}
	l.holds = fresh
	var odd []string
	for _, id := range ids {
		clip, err := l.Books.Clip(ctx, id)
		if err != nil && !errors.Is(err, retention.ErrNotFound) {
			return nil, err
		}
		told, ok := story.Clip(id)
		row := briefOf(clip)
		if err != nil || !ok || rank(told.State) != row.state && told.State != "" || len(differences(row, told)) > 0 || !l.sameHolds(told) {
			odd = append(odd, id)
		}
	}
	return odd, nil
}

// differences are what, beside its state, row and log say differently of a clip.
func differences(row brief, told Told) []string {
	var differ []string
	if !told.Deadline.IsZero() && told.Deadline.UnixMicro() != row.deadline {
		differ = append(differ, fmt.Sprintf("the row's deadline is %s, the log's %s", time.UnixMicro(row.deadline).UTC().Format(time.RFC3339Nano), told.Deadline.UTC().Format(time.RFC3339Nano)))
	}
	if sum := [8]byte(told.SHA256[:8]); sum != [8]byte{} && row.sha != [8]byte{} && sum != row.sha {
		differ = append(differ, "the row's hash is not the one that was logged")
	}
	if !row.part && told.Lost.IsZero() && told.HeldOver.IsZero() == row.cased {
		differ = append(differ, "row and log disagree on whether its deadline passed while it was held")
	}
	return differ
}

// sameHolds says that rows and log name the same holds in force.
func (l *logged) sameHolds(told Told) bool {
	if told.State == retention.Deleting || told.State == retention.Deleted || told.State == retention.Lost { // the end of these holds is of no matter any more
		return true
	}
	var rows []string
	for _, row := range l.holds.inForce[told.ID] {
		rows = append(rows, row.Hold)
	}
	said := slices.Sorted(slices.Values(told.Holds))
	slices.Sort(rows)
	return slices.Equal(rows, said)
}

// report says what is wrong with a clip: the row knows more than the log (I7), or something else (I14).
func (l *logged) report(ctx context.Context, story Story, id string) {
	clip, err := l.Books.Clip(ctx, id)
	told, known := story.Clip(id)
	where := clipAt(id, clip.ObjectKey)
	switch row := briefOf(clip); {
	case err != nil && known:
		l.has.broken(where, mendReplay, "the log knows clip %s, which is %s by it, and the catalogue has no row of it", id, told.State)
	case err != nil:
	case !known:
		l.made.broken(where, mendUnlogged, "clip %s is %s, and the log never heard of it", id, clip.State)
	case told.State != "" && row.state > rank(told.State):
		l.made.broken(where, mendUnlogged, "clip %s is %s, and no entry says so: by the log it is %s", id, clip.State, told.State)
	case told.State != "" && row.state < rank(told.State):
		l.has.broken(where, mendReplay, "clip %s is %s, by the log it is %s", id, clip.State, told.State)
	case !row.part && row.cased && told.HeldOver.IsZero():
		l.made.broken(where, mendUnlogged, "clip %s went over to its case, and no entry says so", id)
	case !l.sameHolds(told):
		l.has.broken(where, mendReplay, "clip %s is kept by other holds than the log says: it names %d", id, len(told.Holds))
	default:
		if differ := differences(row, told); len(differ) > 0 {
			l.has.broken(where, mendReplay, "clip %s: %s", id, strings.Join(differ, "; "))
		}
	}
}

// remember keeps what is said of clips that holds keep, or kept.
func (l *logged) remember(story Story) {
	for _, row := range l.holds.rows {
		if told, ok := story.Clip(row.Clip); ok {
			l.told[row.Clip] = told
		}
	}
}

// skew is how far the clocks of two servers may differ that log.
const skew = time.Second

// deletedWhileHeld is the part of I4 that only the log knows.
func (l *logged) deletedWhileHeld(r *Result) {
	said := map[string]bool{}
	for _, row := range l.holds.rows {
		told, ok := l.told[row.Clip]
		hold, known := l.holds.byID[row.Hold]
		if !ok || !known || told.Shredded.IsZero() || !told.Lost.IsZero() || said[row.Clip] {
			continue
		}
		if told.Shredded.After(hold.Placed.Add(skew)) && (row.Over.IsZero() || told.Shredded.Before(row.Over.Add(-skew))) {
			said[row.Clip] = true
			r.broken(at(policy.KindClip, row.Clip), mendHeldDelete, "clip %s was shredded at %s, while hold %s kept it", row.Clip, told.Shredded.UTC().Format(time.RFC3339Nano), row.Hold)
		}
	}
}
