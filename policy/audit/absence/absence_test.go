package absence_test

import (
	"encoding/json"
	"errors"
	"iter"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/policy"
	"klarsyn/policy/audit/absence"
	"klarsyn/policy/audit/leaf"
	"klarsyn/policy/audit/replay"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func key(camera string, from time.Time, id string) string {
	return "clips/" + camera + "/" + from.Format(time.DateOnly) + "/" + id
}

// id is the id of the n-th clip, which began at a time.
func id(at time.Time, n int) string {
	var u ulid.ULID
	_ = u.SetTime(ulid.Timestamp(at))
	for i := range 8 {
		u[15-i] = byte(n >> (8 * i))
	}
	return u.String()
}

func logged(t testing.TB, at time.Time, e policy.Entry) leaf.Leaf {
	t.Helper()
	e.ID, e.Time = "I", at
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	l, err := leaf.Parse(leaf.Record(b, at))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// What a log that was pruned says no more is unknown, and is told apart from what no log ever said.
func TestPrunedClips(t *testing.T) {
	clips := &replay.Clips{Forget: true}
	old, known := id(noon.AddDate(-6, 0, 0), 1), id(noon.AddDate(-6, 0, 0), 2)
	if err := clips.Add(logged(t, noon, policy.HoldPlacedEntry(policy.Subject{Name: "lena", Role: policy.InvestigationLead},
		policy.Hold{ID: "H", Case: "K", Clips: []string{known}, Basis: "b", Review: noon}, policy.Approval{By: "bo"}))); err != nil {
		t.Fatal(err)
	}
	traces := func(yield func(absence.Trace, error) bool) {
		for _, clip := range []string{old, known, id(noon.Add(time.Hour), 3)} {
			if !yield(absence.Trace{Key: key("k1", noon, clip), Kind: absence.Version}, nil) {
				return
			}
		}
	}
	r, err := absence.Check(clips, traces, absence.Options{Key: key, AsOf: noon.Add(2 * time.Hour), Listed: noon.Add(2 * time.Hour), First: noon.AddDate(-5, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []absence.Rule{absence.Pruned, absence.Pruned, absence.Unexplained} {
		if r.Problems[i].Rule != want {
			t.Errorf("%+v, want %s", r.Problems[i], want)
		}
	}
}

// A listing that breaks off is no verdict.
func TestBrokenListing(t *testing.T) {
	broken := errors.New("connection reset")
	traces := func(yield func(absence.Trace, error) bool) {
		_ = yield(absence.Trace{Key: "clips/x", Kind: absence.Version}, nil) && yield(absence.Trace{}, broken)
	}
	if r, err := absence.Check(&replay.Clips{}, traces, absence.Options{Key: key, AsOf: noon, Listed: noon}); !errors.Is(err, broken) || r != nil {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestListings(t *testing.T) {
	all := func(text string) (kinds string, err error) {
		for tr, e := range absence.Listing(strings.NewReader(text)) {
			if e != nil {
				return kinds, e
			}
			kinds += tr.Kind[:1] + ":" + tr.Key + ":" + tr.Version + ":" + strconv.FormatInt(tr.Size, 10) + " "
		}
		return kinds, nil
	}
	for name, c := range map[string]struct{ text, want, wrong string }{
		"versions and markers": {`{"Versions":[{"Key":"a","VersionId":"1","Size":7,"Owner":{"ID":"x"}}],"DeleteMarkers":[{"Key":"b","VersionId":"2"}],"RequestCharged":null}`, "v:a:1:7 m:b:2:0 ", ""},
		"uploads behind them":  {"{\"Versions\":[]}\n{\"Uploads\":[{\"Key\":\"c\",\"UploadId\":\"u\"}]}", "u:c:u:0 ", ""},
		"nothing lies there":   {`{"RequestCharged":null}`, "", ""},
		"lists that are null":  {`{"Versions":null,"IsTruncated":false}`, "", ""},
		"an empty file":        {``, "", "empty"},
		"cut off":              {`{"Versions":[{"Key":"a"}`, "v:a::0 ", "EOF"},
		"to be continued":      {`{"Versions":[{"Key":"a"}],"IsTruncated":true}`, "v:a::0 ", "goes on elsewhere"},
		"with a token":         {`{"NextToken":"t"}`, "", "goes on elsewhere"},
		"objects alone":        {`{"Contents":[{"Key":"a"}]}`, "", "list-object-versions"},
		"no key":               {`{"Versions":[{"Size":1}]}`, "", "no key"},
		"a list":               {`[1]`, "", "no JSON object"},
		"text":                 {`2026-11-20 a`, "", "cannot be read"},
	} {
		got, err := all(c.text)
		if got != c.want || (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func FuzzListing(f *testing.F) {
	f.Add([]byte(`{"Versions":[{"Key":"a","VersionId":"1","Size":7}],"DeleteMarkers":[{"Key":"b"}],"Uploads":[{"Key":"c","UploadId":"u"}]}`))
	f.Add([]byte(`{"IsTruncated":true,"NextToken":"x"}{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for tr, err := range absence.Listing(strings.NewReader(string(text))) {
			if err == nil && (tr.Key == "" || tr.Kind == "") {
				t.Fatalf("%+v", tr)
			}
		}
	})
}

// A bucket of ROWS objects against a log of twice as many entries (and as many clips that are deleted): how fast, and how much
// memory it keeps.
func BenchmarkAbsence(b *testing.B) {
	rows := 50_000
	if n, err := strconv.Atoi(os.Getenv("ROWS")); err == nil {
		rows = n
	}
	ref := func(clip string) policy.ClipRef {
		return policy.ClipRef{ID: clip, Camera: "k1", Permit: policy.PermitRef{ID: "plattan", Version: 1}}
	}
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		clips := &replay.Clips{Forget: true}
		for n := range rows {
			live := id(noon, n)
			for _, e := range []policy.Entry{
				policy.ClipReservedEntry("a", ref(live), noon, noon.Add(72*time.Hour)),
				policy.ClipCommittedEntry("a", ref(live), policy.Seal{SHA256: policy.Hash{1}, Size: 7, To: noon}),
			} {
				if err := clips.Add(logged(b, noon, e)); err != nil {
					b.Fatal(err)
				}
			}
		}
		traces := iter.Seq2[absence.Trace, error](func(yield func(absence.Trace, error) bool) {
			for n := range rows {
				if !yield(absence.Trace{Key: key("k1", noon, id(noon, n)), Kind: absence.Version, Size: 7}, nil) {
					return
				}
			}
		})
		r, err := absence.Check(clips, traces, absence.Options{Key: key, AsOf: noon.Add(time.Hour), Listed: noon.Add(time.Hour)})
		if err != nil || r.Wrong != 0 || r.Live != int64(rows) {
			b.Fatal(r, err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(rows), "B/clip")
		runtime.KeepAlive(clips)
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}
