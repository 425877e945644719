package audit

import (
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"klarsyn/policy"
)

// The edge is an optimisation of tlog's stored hashes: it must say the same.
func TestTreeIsTheOneOfTlog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "size")
		var stored []tlog.Hash
		read := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
			var hashes []tlog.Hash
			for _, i := range indexes {
				hashes = append(hashes, stored[i])
			}
			return hashes, nil
		})
		var grown tree
		for i := range n {
			record := []byte{byte(i), byte(i >> 8)}
			want, err := tlog.StoredHashes(int64(i), record, read)
			if err != nil {
				t.Fatal(err)
			}
			got := grown.add(tlog.RecordHash(record))
			if len(got) != len(want) {
				t.Fatalf("record %d: %d hashes, want %d", i, len(got), len(want))
			}
			for j := range want {
				if got[j] != want[j] {
					t.Fatalf("record %d: hash %d differs", i, j)
				}
			}
			stored = append(stored, want...)
		}
		root, err := tlog.TreeHash(int64(n), read)
		if err != nil || root != grown.root() {
			t.Fatalf("root %v, want %v, error %v", grown.root(), root, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"id":"01JD4Z9S5T8Q4W1V9D3M2N7K6P","time":"2026-11-20T12:00:00Z","event":"denied","actor":"anna"}`))
	f.Add([]byte(`{}{}`))
	f.Add([]byte(`{"time":"9999-12-31T23:59:59.999999999Z"}`))
	f.Fuzz(func(t *testing.T, leaf []byte) {
		e, err := decode(leaf)
		if err != nil {
			return
		}
		canonical, err := encode(e)
		if err != nil {
			return
		}
		again, err := decode(canonical)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if twice, err := encode(again); err != nil || string(twice) != string(canonical) {
			t.Errorf("%s became %s, error %v", canonical, twice, err)
		}
	})
}

func FuzzCheckpointBody(f *testing.F) {
	f.Add(Checkpoint{Origin: "klarsyn/1", Size: 3, Number: 1, Time: time.Unix(1, 0)}.body())
	f.Add("klarsyn\n1\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := parseBody(text); err == nil && c.body() != text {
			t.Errorf("%q was read as %q", text, c.body())
		}
	})
}

func TestLeafIsCanonical(t *testing.T) {
	leaf, err := encode(policy.Entry{
		ID: "01JD4Z9S5T8Q4W1V9D3M2N7K6P", Time: time.Date(2026, 11, 20, 12, 0, 0, 5000, time.UTC), Event: policy.Denied,
		Actor: "anna", Decision: "deny", Details: map[string]string{"b": "<&>", "a": "å"},
	})
	const want = `{"id":"01JD4Z9S5T8Q4W1V9D3M2N7K6P","time":"2026-11-20T12:00:00.000005Z","event":"denied","actor":"anna","decision":"deny","details":{"a":"å","b":"<&>"}}`
	if err != nil || string(leaf) != want {
		t.Errorf("leaf %s, error %v, want %s", leaf, err, want)
	}
	if got := string(recordOf([]byte("{}"), time.UnixMicro(42))); got != "{}\n42" {
		t.Errorf("record %q", got)
	}
}
