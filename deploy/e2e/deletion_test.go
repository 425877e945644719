package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"klarsyn/deploy/testenv"
)

// hold is what is told of a hold.
type hold struct {
	ID, Kind, Case, Approver string
	Clips                    []struct {
		Clip, Cut string
		Over      *time.Time
	}
	Refused []struct{ Clip, Reason string }
	Lifted  *struct{ By string }
}

// send posts JSON.
func (v *visitor) send(path string, body any) answer {
	v.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		v.t.Fatal(err)
	}
	resp, err := v.http.Post(v.base+path, "application/json", bytes.NewReader(b))
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out bytes.Buffer
	if _, err := out.ReadFrom(resp.Body); err != nil {
		v.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, out.Bytes()}
}

// place holds something for the case that look looks for.
func (v *visitor) place(what map[string]any) hold {
	v.t.Helper()
	ask := map[string]any{"case": "0105-K1-26", "basis": "robbery at the stairs", "requester": "utredare", "review": time.Now().AddDate(0, 1, 0)}
	for k, w := range what {
		ask[k] = w
	}
	a := v.send("/api/v1/holds", ask)
	var h hold
	if a.status != http.StatusCreated || json.Unmarshal(a.body, &h) != nil || len(h.Refused) != 0 {
		v.t.Fatalf("holding %v: %d %s", what, a.status, a.body)
	}
	return h
}

// leads are the two people whom lifting a hold takes.
func (s *square) leads(t *testing.T) (first, second *visitor) {
	t.Helper()
	var all []*visitor
	for _, u := range s.Users {
		if u.Role == "investigation-lead" {
			v := newVisitor(t, s.URL)
			v.logIn(u.Name, u.Password)
			all = append(all, v)
		}
	}
	if len(all) != 2 {
		t.Fatalf("the demo has %d leads of investigations", len(all))
	}
	return all[0], all[1]
}

// TestDeletion is the promise of retention from its beginning to its proof: what nobody asked for is gone on time, and an auditor
// shows that with nothing but a file and the log's public key; what a case needs is held, the part that it needs alone, and goes
// when two people say so; and who lists the store finds nothing that must not be there.
func TestDeletion(t *testing.T) {
	t.Parallel()
	t.Run("in a directory", func(t *testing.T) {
		t.Parallel()
		deleted(t, nil, "", nil)
	})
	t.Run("on MinIO and PostgreSQL", func(t *testing.T) {
		t.Parallel()
		s := startServers(t)
		// Where the bucket has object lock the store's own legal hold is a second barrier.
		if err := s.objects.Admin(t).MakeBucket(t.Context(), "locked", minio.MakeBucketOptions{ObjectLocking: true}); err != nil {
			t.Fatal(err)
		}
		s.flags[1] = strings.Replace(s.flags[1], "/clips?", "/locked?", 1)
		deleted(t, s.flags, s.flags[1], func(c clip, want bool) bool {
			key := "clips/" + c.Camera + "/" + c.From.UTC().Format(time.DateOnly) + "/" + c.ID
			status, err := s.objects.Admin(t).GetObjectLegalHold(t.Context(), "locked", key, minio.GetObjectLegalHoldOptions{})
			return err == nil && (*status == minio.LegalHoldEnabled) == want
		})
	})
}

// deleted is the whole way. barred, if there is one, asks the store for its legal hold.
func deleted(t *testing.T, flags []string, objects string, barred func(c clip, want bool) bool) {
	d := startDemo(t, t.TempDir(), append([]string{"--clip", "5s", "--retention", "30s", "--tour=false"}, flags...)...)
	investigator, auditor := d.as(t, "investigator"), d.as(t, "auditor")
	lead, other := d.leads(t)
	ordinary := investigator.stored("k1", 60*time.Second)
	whole := investigator.stored("k2", 60*time.Second)
	parted := investigator.stored("k3", 60*time.Second)

	keeps := lead.place(map[string]any{"clips": []string{whole.ID}})
	part := lead.place(map[string]any{"camera": "k3", "from": parted.From.Add(2100 * time.Millisecond), "to": parted.From.Add(2900 * time.Millisecond), "kind": "access-request"})
	var cut clip
	testenv.Eventually(t, 30*time.Second, "the part is cut out", func() bool {
		var h hold
		auditor.read("/api/v1/holds/"+part.ID, nil, &h)
		for _, c := range h.Clips {
			if c.Over == nil && c.Clip != parted.ID {
				auditor.read("/api/v1/clips/"+c.Clip, nil, &cut)
			}
		}
		return cut.State == "committed"
	})
	if cut.Seconds >= parted.Seconds-1 || cut.From.After(parted.From.Add(2100*time.Millisecond)) || cut.To.Before(parted.From.Add(2900*time.Millisecond)) || !cut.Deadline.Equal(parted.Deadline) {
		t.Errorf("of %+v the part is %+v", parted, cut)
	}
	film := investigator.look(whole.ID)
	if barred != nil {
		testenv.Eventually(t, 20*time.Second, "the store has a legal hold on what is held", func() bool { return barred(whole, true) && barred(cut, true) })
	}

	for _, c := range []clip{ordinary, parted} {
		testenv.Eventually(t, time.Until(c.Deadline)+20*time.Second, "clip "+c.ID+" is gone", func() bool { return investigator.gone(c.ID) })
	}
	testenv.Eventually(t, 30*time.Second, "the deletions are proved", func() bool {
		return slices.ContainsFunc(deletions(auditor, "k1", ordinary.From.Add(-time.Minute)), func(p deletion) bool { return p.Clip == ordinary.ID }) &&
			slices.ContainsFunc(deletions(auditor, "k3", parted.From.Add(-time.Minute)), func(p deletion) bool { return p.Clip == parted.ID })
	})
	proved(t, d, auditor, ordinary)

	// Beyond its deadline a held clip opens for its case, and for no other.
	testenv.Eventually(t, time.Until(whole.Deadline)+5*time.Second, "the deadline of the held clip", func() bool { return time.Now().After(whole.Deadline) })
	if a := investigator.look(whole.ID); a.status != 200 || !bytes.Equal(a.body, film.body) {
		t.Errorf("held: %d, %d bytes, want the %d from before", a.status, len(a.body), len(film.body))
	}
	if a := investigator.look(cut.ID); a.status != 200 || decode(t, a.body).frames != cut.Frames {
		t.Errorf("the part: %d", a.status)
	}
	path, query := media(whole.ID)
	query.Set("case", "B 2-26")
	if a := investigator.get(path, query); a.status != 410 {
		t.Errorf("for another case: %d %s", a.status, a.body)
	}
	if a := lead.send("/api/v1/holds", map[string]any{"case": "B 2-26", "basis": "late", "requester": "utredare", "review": time.Now().AddDate(0, 1, 0), "clips": []string{ordinary.ID}}); a.status != 410 {
		t.Errorf("holding what is deleted: %d %s", a.status, a.body)
	}
	toldAsHeld(t, auditor, "k2", whole)
	toldAsHeld(t, auditor, "k3", cut)
	absent(t, d, objects)

	lifted(t, lead, other, keeps)
	if a := investigator.look(whole.ID); a.status != 410 {
		t.Errorf("after the hold was lifted: %d", a.status)
	}
	testenv.Eventually(t, 30*time.Second, "it is gone in the next run", func() bool {
		return slices.ContainsFunc(deletions(auditor, "k2", whole.From.Add(-time.Minute)), func(p deletion) bool { return p.Clip == whole.ID })
	})
	proved(t, d, auditor, whole)
	if a := investigator.look(cut.ID); a.status != 200 {
		t.Errorf("another hold was lifted, and the part answers %d", a.status)
	}
	if code := d.Stop(t, time.Minute); code != 0 {
		t.Errorf("the demo ended with %d", code)
	}
	clean(t, fsck(t, d.data, "--stray", "3m"))
}

// lifted sees that lifting takes two people.
func lifted(t *testing.T, first, second *visitor, h hold) {
	t.Helper()
	path := "/api/v1/holds/" + h.ID + "/lift"
	for _, step := range []struct {
		by     *visitor
		body   map[string]string
		status int
	}{{first, map[string]string{"reason": "case closed"}, 202}, {first, map[string]string{}, 409}, {second, map[string]string{}, 200}, {second, map[string]string{}, 409}} {
		if a := step.by.send(path, step.body); a.status != step.status {
			t.Fatalf("lifting: %d %s, want %d", a.status, a.body, step.status)
		}
	}
}

// proved gets the proof of a clip's deletion in both ways and checks it with the log's public key alone. What was changed in it is found.
func proved(t *testing.T, d *square, auditor *visitor, c clip) {
	t.Helper()
	folder := t.TempDir()
	key, file := filepath.Join(folder, "log.pub"), filepath.Join(folder, c.ID+".proof")
	public, err := os.ReadFile(filepath.Join(d.data, "audit", "audit.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, public, 0o600); err != nil {
		t.Fatal(err)
	}
	succeeds(t, "proof", "deletion", "--data", d.data, "--clip", c.ID, "-o", file)
	if out := succeeds(t, "verify", "deletion", "--proof", file, "--key", key, "--json"); !strings.Contains(out, c.ID) {
		t.Errorf("%s", out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	served := auditor.get("/api/v1/clips/"+c.ID+"/deletion-proof", nil)
	for name, text := range map[string][]byte{"served": served.body, "changed": bytes.Replace(b, []byte(`deadline`), []byte(`deadlinf`), 1)} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := exitOf(t, "verify", "deletion", "--proof", file, "--key", key); (code == 0) != (name == "served") {
			t.Errorf("the proof that was %s (%d): exit %d: %s", name, served.status, code, out)
		}
	}
}

// toldAsHeld looks at what the timeline says of a clip that a case keeps.
func toldAsHeld(t *testing.T, auditor *visitor, camera string, c clip) {
	t.Helper()
	var body struct {
		Intervals []struct {
			From, To    time.Time
			Cause, Clip string
		}
	}
	auditor.read("/api/v1/cameras/"+camera+"/timeline", url.Values{"from": {c.From.Format(time.RFC3339Nano)}, "to": {c.To.Format(time.RFC3339Nano)}}, &body)
	if len(body.Intervals) != 1 || body.Intervals[0].Cause != "held" || body.Intervals[0].Clip != c.ID {
		t.Errorf("the timeline of %s says %+v", c.ID, body.Intervals)
	}
}

// absent is an auditor who lists the store himself and holds that against the log.
func absent(t *testing.T, d *square, objects string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "log")
	key := filepath.Join(d.data, "audit", "audit.pub")
	if objects == "" {
		objects = filepath.Join(d.data, "objects")
	}
	succeeds(t, "log", "export", "--data", d.data, "-o", out)
	report := succeeds(t, "verify", "absence", "--objects", objects, "--log", out, "--key", key, "--json")
	if !strings.Contains(report, "held") {
		t.Errorf("nothing is said of what is held: %s", report)
	}
}
