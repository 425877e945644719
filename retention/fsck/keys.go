package fsck

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"klarsyn/policy"
	"klarsyn/retention"
)

// Keys are the keys that exist. Nobody opens one for it.
type Keys interface {
	// DayKeys are the day keys, with when they were minted.
	DayKeys(ctx context.Context) (map[policy.DayKey]time.Time, error)
	// CaseKeys are the cases that have a key, with when somebody last asked for it, to place a hold maybe.
	CaseKeys(ctx context.Context) (map[string]time.Time, error)
}

const (
	// lateReserve is how long after midnight the key of the day before may still be asked for.
	lateReserve = 10 * time.Minute
	// tending is how long whoever tends the keys may take to see that nobody needs one any more.
	tending = time.Minute
	// placing is how long the key of a case stays after somebody asked for it: the hold may not be there yet.
	placing = time.Hour
	// ahead is for how many days after the open one keys may be ready.
	ahead = 2
)

// existing are the keys that there are.
type existing struct {
	days       map[policy.DayKey]time.Time
	cases      map[string]time.Time
	recipients []policy.DayKey
}

func (c Check) existing(ctx context.Context) (e existing, err error) {
	// Recipients first: a key is minted before its recipient is published.
	if c.Recipients != nil {
		if e.recipients, err = c.Recipients(ctx); err != nil {
			return e, err
		}
	}
	if e.days, err = c.Keys.DayKeys(ctx); err != nil {
		return e, err
	}
	e.cases, err = c.Keys.CaseKeys(ctx)
	return e, err
}

// keys is I10: a day key exists exactly while a clip, or a day that is open, needs it; the key of a case while a hold does.
type keys struct {
	Check
	holds  *holds
	before existing
	// days are the day keys that clips were sealed to.
	days map[policy.DayKey]*demand
	// cases are the cases that clips are sealed to.
	cases  map[string]*demand
	result Result
}

// demand is who needs a key.
type demand struct {
	live   bool      // a clip that is not deleted was sealed to it
	clip   string    // one that it must open
	sealed int       // how many it must open
	hold   string    // one in force whose case it is
	last   time.Time // when the last clip ceased to need it
}

func (c Check) keys(ctx context.Context, h *holds) (*keys, error) {
	k := &keys{Check: c, holds: h, days: map[policy.DayKey]*demand{}, cases: map[string]*demand{}}
	k.result = Result{ID: "I10", What: "a day key exists while a clip or an open day needs it, and the key of a case while a hold does"}
	if c.Keys == nil {
		k.result.skip("the keys: %s", c.NoKeys)
		return k, nil
	}
	var err error
	if k.before, err = c.existing(ctx); err != nil {
		return nil, fmt.Errorf("fsck: %w", err)
	}
	return k, nil
}

func (k *keys) row(_ context.Context, row retention.Row) error {
	var d *demand
	if row.KeyCase != "" {
		d = demandOf(k.cases, row.KeyCase)
		d.live = d.live || row.State != retention.Deleted
	} else {
		d = demandOf(k.days, policy.DayKey{Permit: row.Permit, Day: row.KeyDay})
		d.live = d.live || row.State != retention.Deleted && row.Cased.IsZero()
	}
	if row.HasHeader && mayBeKept(row.Clip) {
		d.clip = row.ID
		d.sealed++
	}
	for _, t := range []time.Time{row.DeletedAt, row.Cased} {
		if t.After(d.last) {
			d.last = t
		}
	}
	return nil
}

func demandOf[K comparable](of map[K]*demand, key K) *demand {
	d := of[key]
	if d == nil {
		d = &demand{}
		of[key] = d
	}
	return d
}

func (k *keys) done(ctx context.Context) ([]Result, error) {
	if k.Keys == nil {
		return []Result{k.result}, nil
	}
	// What was minted or destroyed since the rows were read is no violation: it must have been wrong before, too, and still be.
	after, err := k.existing(ctx)
	if err != nil {
		return nil, err
	}
	k.missing(after)
	k.unneeded(after)
	k.ofCases(after)
	k.ofRecipients(after)
	return []Result{k.result}, nil
}

func both[K comparable](key K, before, after map[K]time.Time) (then, now bool) {
	_, then = before[key]
	_, now = after[key]
	return then, now
}

// missing are day keys that clips need.
func (k *keys) missing(after existing) {
	for _, key := range sortedDays(k.days) {
		d := k.days[key]
		if d.sealed == 0 {
			continue
		}
		k.result.Checked++
		if then, now := both(key, k.before.days, after.days); !then && !now {
			k.result.broken(at(policy.KindDayKey, key.Permit+"/"+key.Day), mendDayKey, "the day key of permit %s for %s is gone, and %d clips need it: %s, for example", key.Permit, key.Day, d.sealed, d.clip)
		}
	}
}

// unneeded are day keys that outlive their clips.
func (k *keys) unneeded(after existing) {
	for _, key := range sortedDays(after.days) {
		k.result.Checked++
		day, err := time.Parse(time.DateOnly, key.Day)
		if err != nil {
			k.result.broken(at(policy.KindDayKey, key.Permit+"/"+key.Day), mendKey, "the day key of permit %s for %q is of no day", key.Permit, key.Day)
			continue
		}
		if day.After(k.Now.AddDate(0, 0, ahead+1)) {
			k.result.warn("the day key of permit %s for %s was minted too early: was the clock ahead? It is destroyed when that day is over", key.Permit, key.Day)
		}
		free := day.AddDate(0, 0, 1).Add(lateReserve)
		if d := k.days[key]; d != nil {
			if d.live {
				continue
			}
			if d.last.After(free) {
				free = d.last
			}
		}
		if then, _ := both(key, k.before.days, after.days); then && k.Now.After(free.Add(tending+k.Grace)) {
			k.result.broken(at(policy.KindDayKey, key.Permit+"/"+key.Day), mendKey, "the day key of permit %s for %s is still there, and no clip needs it since %s", key.Permit, key.Day, free.Format(time.RFC3339))
		}
	}
}

// ofCases are the keys of cases. Their numbers have no place in what a checker says.
func (k *keys) ofCases(after existing) {
	for _, hold := range k.holds.byID {
		d := demandOf(k.cases, hold.Case)
		if hold.InForce() {
			d.live, d.hold = true, hold.ID
		} else if hold.Lifted.After(d.last) {
			d.last = hold.Lifted
		}
	}
	for number, d := range k.cases {
		if d.hold == "" && d.clip == "" {
			continue
		}
		k.result.Checked++
		then, now := both(number, k.before.cases, after.cases)
		switch {
		case then || now:
		case d.hold != "":
			k.result.broken(at(policy.KindHold, d.hold), mendCaseKey, "the key of the case of hold %s is gone", d.hold)
		default:
			k.result.broken(clipAt(d.clip, ""), mendCaseKey, "the key of the case that clip %s is sealed to is gone", d.clip)
		}
	}
	for number, asked := range after.cases {
		d := k.cases[number]
		if d != nil && d.live {
			continue
		}
		k.result.Checked++
		free := asked.Add(placing)
		if d != nil && d.last.After(free) {
			free = d.last
		}
		if then, _ := both(number, k.before.cases, after.cases); then && k.Now.After(free.Add(tending+k.Grace)) {
			stamp := asked.UTC().Format(time.RFC3339)
			k.result.broken(at(policy.KindCaseKey, "asked for at "+stamp), mendKey, "the key of a case, last asked for at %s, is still there, and no hold needs it since %s", stamp, free.UTC().Format(time.RFC3339))
		}
	}
	sorted(&k.result)
}

// ofRecipients are public halves whose key does not exist.
func (k *keys) ofRecipients(after existing) {
	for _, key := range k.before.recipients {
		k.result.Checked++
		if then, now := both(key, k.before.days, after.days); !then && !now && slices.Contains(after.recipients, key) {
			k.result.broken(at(policy.KindDayKey, key.Permit+"/"+key.Day), mendRecipient, "recorders can seal to the day key of permit %s for %s, which does not exist", key.Permit, key.Day)
		}
	}
}

func sortedDays[V any](of map[policy.DayKey]V) []policy.DayKey {
	return slices.SortedFunc(maps.Keys(of), func(a, b policy.DayKey) int {
		return strings.Compare(a.Permit+"/"+a.Day, b.Permit+"/"+b.Day)
	})
}
