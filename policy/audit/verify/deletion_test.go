package verify_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"klarsyn/policy"
	"klarsyn/policy/audit/audittest"
	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/verify"
)

const clipA, clipB = "01JD4Z9S5T8Q4W1V9D3MCLEAAA", "01JD4Z9S5T8Q4W1V9D3MCLEBBB"

// told is an entry and when it was written, after audittest.Start.
type told struct {
	at time.Duration
	policy.Entry
}

func later(d time.Duration) time.Time { return audittest.Start.Add(d) }

var (
	sealA = policy.Seal{SHA256: policy.Hash{0xaa}, Size: 4096, To: later(30 * time.Second), Frames: 750}
	lena  = policy.Subject{Name: "lena", Role: policy.InvestigationLead, Session: "S"}
)

func refOf(id string) policy.ClipRef {
	return policy.ClipRef{ID: id, Camera: "k1", Permit: policy.PermitRef{ID: "plattan", Version: 2}}
}

func reservedAt(at time.Duration, id string) told {
	return told{at, policy.ClipReservedEntry("service:ingest", refOf(id), later(0), later(time.Hour))}
}

func committedAt(at time.Duration, id string) told {
	return told{at, policy.ClipCommittedEntry("service:ingest", refOf(id), sealA)}
}

func plannedAt(at time.Duration, from, to time.Duration) told {
	return told{at, policy.DeletionPlannedEntry("service:serve", refOf(clipA), later(from), later(to), "shorter")}
}

func shreddedAt(at, deadline time.Duration, was string) told {
	return told{at, policy.ClipShreddedEntry("service:retain", refOf(clipA), later(deadline), was)}
}

func deletion(at, deadline time.Duration) policy.Deletion {
	return policy.Deletion{
		Deadline: later(deadline), Deleted: later(at), Removed: 1, From: later(0), To: sealA.To, SHA256: sealA.SHA256, Size: sealA.Size,
	}
}

func deletedAt(at, deadline time.Duration, change ...func(*policy.Deletion)) told {
	d := deletion(at, deadline)
	for _, c := range change {
		c(&d)
	}
	return told{at, policy.ClipDeletedEntry("service:retain", refOf(clipA), d)}
}

// asBefore is what a deletion's entry said before it said what was deleted.
func asBefore(d *policy.Deletion) { d.From = time.Time{} }

func unstored(d *policy.Deletion) { d.To, d.SHA256, d.Size = time.Time{}, policy.Hash{}, 0 }

func placedAt(at time.Duration, id string, clips ...string) told {
	return told{at, policy.HoldPlacedEntry(lena, policy.Hold{ID: id, Case: "K-" + id, Clips: clips, Basis: "robbery", Review: later(24 * time.Hour)},
		policy.Approval{ID: id, By: "bo"})}
}

func liftedAt(at time.Duration, id string, clips ...string) told {
	return told{at, policy.HoldLiftedEntry(lena, policy.Hold{ID: id, Case: "K-" + id, Clips: clips}, "closed", policy.Approval{ID: id, By: "bo"})}
}

func cutAt(at time.Duration, id, parent string) told {
	return told{at, policy.ClipCutEntry("service:serve", refOf(id), policy.Cut{
		Parent: parent, Hold: "H", Case: "K-H", From: later(0), To: sealA.To, Size: sealA.Size, Frames: 750, SHA256: sealA.SHA256,
	})}
}

const h, s = time.Hour, time.Second

// part is the reservation of A as a part of another clip.
func part(at time.Duration) told {
	ref := refOf(clipA)
	ref.Parent, ref.Hold = clipB, "H"
	return told{at, policy.ClipReservedEntry("service:serve", ref, later(0), later(h))}
}

// usual is a clip that was deleted as most are.
func usual() []told {
	return []told{reservedAt(0, clipA), committedAt(31*s, clipA), shreddedAt(h+s, h, "committed"), deletedAt(h+3*s, h)}
}

// logOf writes what is told, among entries of other clips, and signs it; the numbers are those of what is told.
func logOf(t testing.TB, all []told) (*audittest.Log, []int64) {
	t.Helper()
	l := audittest.NewLog(t)
	var numbers []int64
	for i, e := range all {
		l.Entry("clip-committed", "")
		e.ID, e.Time = "01JD4Z9S5T8Q4W1V9D3M"+strings.Repeat("0", 5)+string(rune('A'+i)), later(e.at)
		if err := e.Validate(); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(e.Entry)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, l.Tree.Size())
		l.Add(leaf.Record(b, e.Time))
	}
	l.Sign()
	return l, numbers
}

// deletionProofOf is a proof that was made by nothing but the format, with the tombstone that the entries make.
func deletionProofOf(t testing.TB, clip string, all []told, change ...func(*verify.Tombstone)) (verify.DeletionProof, *audittest.Log) {
	t.Helper()
	l, numbers := logOf(t, all)
	p := verify.DeletionProof{Checkpoint: l.Newest.Note}
	var leaves []verify.Numbered
	for _, n := range numbers {
		one := proofOf(t, l, n, "")
		p.Entries = append(p.Entries, verify.Included{Index: n, Record: one.Record, Hashes: one.Hashes})
		read, err := leaf.Parse(one.Record)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, verify.Numbered{Index: n, Leaf: read})
	}
	if d, err := verify.DeletionOf(clip, leaves); err == nil {
		p.Tombstone = d.Tombstone
	} else {
		p.Tombstone.Clip = clip
	}
	for _, c := range change {
		c(&p.Tombstone)
	}
	return p, l
}

func TestProofsOfDeletion(t *testing.T) {
	stone := verify.Tombstone{
		Clip: clipA, Camera: "k1", Permit: "plattan", PermitVersion: 2, From: later(0), To: sealA.To, SHA256: sealA.SHA256.String(), Size: 4096,
		Deadline: later(h), ShreddedAt: later(h + s), DeletedAt: later(h + 3*s), Versions: 1,
	}
	but := func(change func(*verify.Tombstone)) verify.Tombstone {
		c := stone
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		told []told
		want verify.Tombstone
		due  time.Duration
		held int
	}{
		"as most are":                                 {usual(), stone, h, 0},
		"logged before entries said so much":          {[]told{reservedAt(0, clipA), committedAt(31*s, clipA), shreddedAt(h+s, h, "committed"), deletedAt(h+3*s, h, asBefore)}, stone, h, 0},
		"its recording is older than the log is kept": {[]told{shreddedAt(h+s, h, "committed"), deletedAt(h+3*s, h)}, stone, h, 0},
		"its permit was shortened, twice": {
			[]told{reservedAt(0, clipA), committedAt(31*s, clipA), plannedAt(40*s, h, h/2), plannedAt(50*s, h/2, h/4), shreddedAt(h/4+s, h/4, "committed"), deletedAt(h/4+2*s, h/4)},
			but(func(x *verify.Tombstone) {
				x.Deadline, x.ShreddedAt, x.DeletedAt = later(h/4), later(h/4+s), later(h/4+2*s)
			}), h / 4, 0,
		},
		"it was never stored": {[]told{reservedAt(0, clipA), shreddedAt(h+s, h, "pending"), deletedAt(h+3*s, h, unstored)},
			but(func(x *verify.Tombstone) { x.To, x.SHA256, x.Size = time.Time{}, "", 0 }), h, 0},
		"it was lost": {[]told{reservedAt(0, clipA), {s, policy.ClipLostEntry("service:ingest", refOf(clipA), "disk")}, shreddedAt(h+s, h, "lost"), deletedAt(h+3*s, h, unstored)},
			but(func(x *verify.Tombstone) { x.To, x.SHA256, x.Size = time.Time{}, "", 0 }), h, 0},
		"it was held beyond its deadline": {
			[]told{reservedAt(0, clipA), committedAt(31*s, clipA), placedAt(40*s, "H", clipB, clipA), {h, policy.ClipHeldOverEntry("service:retain", refOf(clipA), later(h))},
				shreddedAt(9*h, h, "committed"), liftedAt(9*h+s, "H", clipA, clipB), deletedAt(9*h+3*s, h)},
			but(func(x *verify.Tombstone) { x.ShreddedAt, x.DeletedAt = later(9*h), later(9*h+3*s) }), 9 * h, 1,
		},
		"it was held by two and let go before its deadline": {
			[]told{reservedAt(0, clipA), committedAt(31*s, clipA), placedAt(40*s, "H", clipA), placedAt(41*s, "J", clipA), liftedAt(42*s, "H", clipA), liftedAt(43*s, "J", clipA),
				shreddedAt(h+s, h, "committed"), deletedAt(h+3*s, h)}, stone, h, 2,
		},
		"a part of it was cut out": {
			[]told{reservedAt(0, clipA), committedAt(31*s, clipA), placedAt(40*s, "H", clipA), cutAt(41*s, clipB, clipA), shreddedAt(h+s, h, "committed"), deletedAt(h+3*s, h)},
			stone, h, 1,
		},
		"a part of it was cut out, and the hold on that ended while its bytes could not be removed": {
			[]told{reservedAt(0, clipA), committedAt(31*s, clipA), placedAt(40*s, "H", clipA), cutAt(41*s, clipB, clipA), shreddedAt(h+s, h, "committed"), liftedAt(3*h, "H", clipB), deletedAt(4*h, h)},
			but(func(x *verify.Tombstone) { x.DeletedAt = later(4 * h) }), h, 1,
		},
		"it is a part, and went with its hold before the deadline": {
			[]told{part(10 * s), committedAt(11*s, clipA), cutAt(11*s, clipA, clipB), shreddedAt(20*s, h, "committed"), liftedAt(20*s, "H", clipA), deletedAt(22*s, h)},
			but(func(x *verify.Tombstone) { x.ShreddedAt, x.DeletedAt = later(20*s), later(22*s) }), 20 * s, 1,
		},
		"it is a part that was given up": {
			[]told{part(10 * s), shreddedAt(20*s, h, "pending"), deletedAt(22*s, h, unstored)},
			but(func(x *verify.Tombstone) {
				x.To, x.SHA256, x.Size, x.ShreddedAt, x.DeletedAt = time.Time{}, "", 0, later(20*s), later(22*s)
			}), 20 * s, 0,
		},
		"a restored backup brought it back, and it was deleted again": {
			append(usual(), shreddedAt(3*h, h, "committed"), deletedAt(3*h+s, h)), but(func(x *verify.Tombstone) { x.DeletedAt = later(3*h + s) }), h, 0,
		},
		"two machines logged within a moment": {
			[]told{reservedAt(0, clipA), shreddedAt(h+s, h, "committed"), committedAt(h+s, clipA), deletedAt(h+3*s, h)}, stone, h, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, l := deletionProofOf(t, clipA, c.told)
			text, err := p.Format()
			if err != nil {
				t.Fatal(err)
			}
			read, err := verify.ParseDeletionProof(text)
			if err != nil {
				t.Fatal(err)
			}
			d, err := read.Check([]string{l.Key.Public}, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			if d.Tombstone != c.want || !d.Due.Equal(later(c.due)) || len(d.Holds) != c.held || len(d.Entries) != len(c.told) {
				t.Errorf("due %s, %d holds, %d entries\ngot  %+v\nwant %+v", d.Due, len(d.Holds), len(d.Entries), d.Tombstone, c.want)
			}
			if d.ShreddedAfter() < 0 || d.DeletedAfter() < d.ShreddedAfter() || d.Checkpoint.Number != 1 {
				t.Errorf("unreadable after %s, gone after %s, checkpoint %+v", d.ShreddedAfter(), d.DeletedAfter(), d.Checkpoint)
			}
			for _, held := range d.Holds {
				if held.Case != "K-"+held.Hold || !held.Placed.Before(held.Ended) {
					t.Errorf("held %+v", held)
				}
			}
		})
	}
}

// A made-up tombstone around real entries does not hold: whatever it says that no entry says is named.
func TestMadeUpTombstones(t *testing.T) {
	for field, change := range map[string]func(*verify.Tombstone){
		"camera":         func(x *verify.Tombstone) { x.Camera = "k2" },
		"permit":         func(x *verify.Tombstone) { x.Permit = "torget" },
		"permit_version": func(x *verify.Tombstone) { x.PermitVersion = 3 },
		"from":           func(x *verify.Tombstone) { x.From = later(s) },
		"to":             func(x *verify.Tombstone) { x.To = later(20 * s) },
		"sha256":         func(x *verify.Tombstone) { x.SHA256 = policy.Hash{0xbb}.String() },
		"size":           func(x *verify.Tombstone) { x.Size = 4095 },
		"deadline":       func(x *verify.Tombstone) { x.Deadline = later(h - s) },
		"shredded_at":    func(x *verify.Tombstone) { x.ShreddedAt = later(h) },
		"deleted_at":     func(x *verify.Tombstone) { x.DeletedAt = later(h + s) },
		"versions":       func(x *verify.Tombstone) { x.Versions = 2 },
		"listed":         func(x *verify.Tombstone) { x.Listed = 1 },
		"is about clip":  func(x *verify.Tombstone) { x.Clip = clipB },
	} {
		p, l := deletionProofOf(t, clipA, usual(), change)
		if _, err := p.Check([]string{l.Key.Public}, nil, 0); !errors.Is(err, verify.ErrNotProven) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v", field, err)
		}
	}
}

// Entries that are all in the log, and tell of no deletion of the clip, or of one that cannot be.
func TestEntriesThatProveNoDeletion(t *testing.T) {
	other := func(change func(*policy.ClipRef)) policy.ClipRef {
		r := refOf(clipA)
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		told []told
		want string
	}{
		"nothing":                       {nil, "made unreadable"},
		"it still lies there":           {usual()[:2], "made unreadable"},
		"its bytes may still lie there": {usual()[:3], "no entry says that clip " + clipA + " was deleted"},
		"nobody made it unreadable":     {append(usual()[:2], usual()[3]), "nothing before it says"},
		"of another clip":               {append(usual(), committedAt(h+4*s, clipB)), "about clip " + clipB},
		"of another camera":             {append([]told{{0, policy.ClipReservedEntry("service:ingest", other(func(r *policy.ClipRef) { r.Camera = "k2" }), later(0), later(h))}}, usual()[1:]...), "camera"},
		"under another permit":          {append([]told{{0, policy.ClipReservedEntry("service:ingest", other(func(r *policy.ClipRef) { r.Permit.Version = 3 }), later(0), later(h))}}, usual()[1:]...), "permit_version"},
		"of another time":               {append([]told{{0, policy.ClipReservedEntry("service:ingest", refOf(clipA), later(s), later(h))}}, usual()[1:]...), "from"},
		"with another hash":             {append(usual()[:3:3], deletedAt(h+3*s, h, func(d *policy.Deletion) { d.SHA256[0]++ })), "sha256"},
		"of another size":               {append(usual()[:3:3], deletedAt(h+3*s, h, func(d *policy.Deletion) { d.Size++ })), "size"},
		"the listing found something":   {append(usual()[:3:3], deletedAt(h+3*s, h, func(d *policy.Deletion) { d.Listed = 1 })), "found 1"},
		"two deadlines":                 {append(usual()[:3:3], deletedAt(h+3*s, 2*h)), "deadline"},
		"kept longer than its deadline said": {
			[]told{reservedAt(0, clipA), committedAt(31*s, clipA), plannedAt(40*s, h, h/2), shreddedAt(h+s, h, "committed"), deletedAt(h+3*s, h)}, "one is missing",
		},
		"the entry that moved its deadline is left out": {
			[]told{reservedAt(0, clipA), committedAt(31*s, clipA), shreddedAt(h/2+s, h/2, "committed"), deletedAt(h/2+2*s, h/2)}, "one is missing",
		},
		"unreadable before its deadline": {append(usual()[:2:2], shreddedAt(h-s, h, "committed"), deletedAt(h+3*s, h)), "before its deadline"},
		"gone before it was unreadable":  {append(usual()[:3:3], told{h + 3*s, policy.ClipDeletedEntry("service:retain", refOf(clipA), deletion(h-2*time.Minute, h))}), "before it was made unreadable"},
		"gone in times to come":          {append(usual()[:3:3], told{h + 3*s, policy.ClipDeletedEntry("service:retain", refOf(clipA), deletion(2*h, h))}), "is of"},
		"its reservation is left out, of old entries": {
			append(usual()[1:3:3], deletedAt(h+3*s, h, asBefore)), "its reservation is missing",
		},
		"what was stored is left out, of old entries": {
			[]told{reservedAt(0, clipA), shreddedAt(h+s, h, "committed"), deletedAt(h+3*s, h, asBefore)}, "the hash of what was stored",
		},
		"a hash of what was never stored": {[]told{reservedAt(0, clipA), shreddedAt(h+s, h, "pending"), deletedAt(h+3*s, h)}, "the hash of what was stored"},
		"deleted under a hold": {
			[]told{reservedAt(0, clipA), committedAt(31*s, clipA), placedAt(40*s, "H", clipA), shreddedAt(h+s, h, "committed"), deletedAt(h+3*s, h)}, "hold H",
		},
		"deleted under the second of two holds": {
			[]told{reservedAt(0, clipA), committedAt(31*s, clipA), placedAt(40*s, "H", clipA), placedAt(41*s, "J", clipA), liftedAt(42*s, "H", clipA), shreddedAt(h+s, h, "committed"), deletedAt(h+3*s, h)}, "hold J",
		},
		"unreadable long before its hold was lifted": {
			[]told{reservedAt(0, clipA), committedAt(31*s, clipA), placedAt(40*s, "H", clipA), shreddedAt(h+s, h, "committed"), liftedAt(2*h, "H", clipA), deletedAt(2*h+3*s, h)}, "before that",
		},
		"a part of a case that was not closed": {
			[]told{part(10 * s), committedAt(11*s, clipA), cutAt(11*s, clipA, clipB), shreddedAt(20*s, h, "committed"), deletedAt(22*s, h)}, "hold H",
		},
		"a hold on other clips":      {append(usual()[:2:2], append([]told{placedAt(40*s, "H", clipB)}, usual()[2:]...)...), "holds other clips"},
		"a hold that ends unbegun":   {append(usual()[:2:2], append([]told{liftedAt(40*s, "H", clipA)}, usual()[2:]...)...), "hold H"},
		"a hold on what was gone":    {append(usual(), placedAt(2*h, "H", clipA)), "unreadable already"},
		"reserved twice":             {append([]told{reservedAt(0, clipA)}, usual()...), "reserved before"},
		"stored twice":               {append(usual()[:2:2], append([]told{committedAt(32*s, clipA)}, usual()[2:]...)...), "already"},
		"stored after it was gone":   {append(append(usual()[:1:1], usual()[2:]...), committedAt(2*h, clipA)), "comes after"},
		"an entry of something else": {append(usual(), told{2 * h, policy.ServiceStartedEntry("service:retain")}), "says nothing of a clip"},
	} {
		p, l := deletionProofOf(t, clipA, c.told)
		p.Tombstone = verify.Tombstone{Clip: clipA}
		_, err := p.Check([]string{l.Key.Public}, nil, 0)
		if !errors.Is(err, verify.ErrNotProven) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

// What is wrong with the proof itself, and not with what its entries tell.
func TestProofsOfDeletionThatProveNothing(t *testing.T) {
	good, l := deletionProofOf(t, clipA, usual())
	keys := []string{l.Key.Public}
	if _, err := good.Check(keys, nil, 0); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*verify.DeletionProof)
		keys   []string
		quorum int
	}{
		"another key":       {func(*verify.DeletionProof) {}, []string{audittest.NewSigner(t, "klarsyn/test").Public}, 0},
		"no key":            {func(*verify.DeletionProof) {}, nil, 0},
		"too few witnesses": {func(*verify.DeletionProof) {}, keys, 1},
		"another index":     {func(p *verify.DeletionProof) { p.Entries[0].Index++ }, keys, 0},
		"another order":     {func(p *verify.DeletionProof) { p.Entries[0], p.Entries[1] = p.Entries[1], p.Entries[0] }, keys, 0},
		"an entry twice":    {func(p *verify.DeletionProof) { p.Entries[1] = p.Entries[0] }, keys, 0},
		"an entry left out": {func(p *verify.DeletionProof) { p.Entries = p.Entries[:3] }, keys, 0},
		"an entry of the proof's maker": {func(p *verify.DeletionProof) {
			p.Entries[3].Record = []byte(strings.Replace(string(p.Entries[3].Record), `"removed":"1"`, `"removed":"2"`, 1))
		}, keys, 0},
		"unsigned": {func(p *verify.DeletionProof) { p.Checkpoint, _, _ = strings.Cut(p.Checkpoint, "— ") }, keys, 0},
		"empty":    {func(p *verify.DeletionProof) { *p = verify.DeletionProof{} }, keys, 0},
	} {
		p := good
		p.Entries = slices.Clone(good.Entries)
		c.change(&p)
		if _, err := p.Check(c.keys, nil, c.quorum); err == nil {
			t.Errorf("%s: the proof holds", name)
		}
	}
}

func TestEveryFlippedByteOfAProofOfDeletionIsFound(t *testing.T) {
	p, l := deletionProofOf(t, clipA, usual())
	w := audittest.NewWitness(t, "witness.example/w1")
	p.Checkpoint += w.Cosign(t, l.Newest)
	text, err := p.Format()
	if err != nil {
		t.Fatal(err)
	}
	checked := func(text string) error {
		p, err := verify.ParseDeletionProof(text)
		if err != nil {
			return err
		}
		_, err = p.Check([]string{l.Key.Public}, []*verify.Witness{w.Verifier(t)}, 1)
		return err
	}
	if err := checked(text); err != nil {
		t.Fatal(err)
	}
	for i := range len(text) {
		for bit := range 8 {
			if raceEnabled && bit != i%8 {
				continue // the detector makes it ten times as slow; without it every bit is flipped
			}
			changed := []byte(text)
			changed[i] ^= 1 << bit
			if checked(string(changed)) == nil {
				t.Errorf("bit %d of byte %d was flipped and the proof holds", bit, i)
			}
		}
	}
	for i := range len(text) {
		if checked(text[:i]) == nil {
			t.Errorf("cut off at byte %d the proof holds", i)
		}
	}
}

func FuzzParseDeletionProof(f *testing.F) {
	whole, l := deletionProofOf(f, clipA, usual())
	text, err := whole.Format()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(`{"format":"klarsyn-deletion-proof/1"}`)
	f.Add(strings.Replace(text, `"removed\":\"1\"`, `"removed\":\"9223372036854775807\"`, 1))
	f.Fuzz(func(t *testing.T, changed string) {
		p, err := verify.ParseDeletionProof(changed)
		if err != nil {
			return
		}
		if again, err := p.Format(); err != nil || again != changed {
			t.Errorf("a proof has two forms, error %v", err)
		}
		// Lines of witnesses whom nobody knows may be added; what is proven stays the same.
		if d, err := p.Check([]string{l.Key.Public}, nil, 0); err == nil && d.Tombstone != whole.Tombstone {
			t.Errorf("another proof holds: %+v", d.Tombstone)
		}
		var leaves []verify.Numbered
		for _, e := range p.Entries {
			if read, err := leaf.Parse(e.Record); err == nil {
				leaves = append(leaves, verify.Numbered{Index: e.Index, Leaf: read})
			}
		}
		if d, err := verify.DeletionOf(p.Tombstone.Clip, leaves); err == nil && (d.Tombstone.Listed != 0 || d.Tombstone.Clip != p.Tombstone.Clip || d.DeletedAfter() < -time.Minute) {
			t.Errorf("%+v", d)
		}
	})
}
