package api

import (
	"strings"
	"testing"

	"klarsyn/policy"
)

// Whoever may read deletions gets the file as the log made it, byte by byte, and the log says first that he asked.
func TestDeletionProof(t *testing.T) {
	w := newWorld(t)
	b := w.as(policy.Auditor)
	ask := func(id string) (answer, string) {
		t.Helper()
		a := b.get("/api/v1/clips/" + id + "/deletion-proof")
		return a, string(a.body)
	}
	before := w.logged(policy.LogRead)
	res, body := ask(tombstone)
	if res.status != 200 || body != `{"proof of": "`+tombstone+`"}` || res.header.Get("Content-Type") != "application/json" ||
		res.header.Get("Content-Disposition") != `attachment; filename="deletion-`+tombstone+`.json"` {
		t.Errorf("%d %v\n%s", res.status, res.header, body)
	}
	if w.logged(policy.LogRead) != before+1 {
		t.Error("the reading was not logged")
	}
	if last := w.entries[len(w.entries)-1]; last.Details["object"] != "clip:"+tombstone || last.Details["proof"] != "deletion" {
		t.Errorf("logged as %+v", last)
	}
	for id, want := range map[string]string{whole: "It is committed, and its deadline is", shredding: "nobody can read it any more", pending: "It is pending"} {
		if res, body := ask(id); res.status != 409 || !strings.Contains(body, want) || !strings.Contains(body, "not-deleted") {
			t.Errorf("%s: %d %s", id, res.status, body)
		}
	}
	w.proofPending = true
	if res, body := ask(tombstone); res.status != 503 || res.header.Get("Retry-After") == "" || !strings.Contains(body, "proof-pending") {
		t.Errorf("not numbered yet: %d %v %s", res.status, res.header, body)
	}
	w.proofPending = false
	w.logDown = true
	if res, body := ask(tombstone); res.status != 503 || strings.Contains(body, "proof of") {
		t.Errorf("nobody could log it: %d %s", res.status, body)
	}
}
