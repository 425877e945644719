package audit

import (
	"testing"
	"time"

	"klarsyn/policy"
)

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

func TestLeafIsCanonical(t *testing.T) {
	leaf, err := encode(policy.Entry{
		ID: "01JD4Z9S5T8Q4W1V9D3M2N7K6P", Time: time.Date(2026, 11, 20, 12, 0, 0, 5000, time.UTC), Event: policy.Denied,
		Actor: "anna", Decision: "deny", Details: map[string]string{"b": "<&>", "a": "å"},
	})
	const want = `{"id":"01JD4Z9S5T8Q4W1V9D3M2N7K6P","time":"2026-11-20T12:00:00.000005Z","event":"denied","actor":"anna","decision":"deny","details":{"a":"å","b":"<&>"}}`
	if err != nil || string(leaf) != want {
		t.Errorf("leaf %s, error %v, want %s", leaf, err, want)
	}
}
