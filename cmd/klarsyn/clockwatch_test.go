package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"klarsyn/deploy/testenv"
	"klarsyn/policy"
	"klarsyn/policy/audit"
	"klarsyn/retention"
	"klarsyn/retention/object/s3"
)

// rowsAt is the address of a fresh database, with its password in a file.
func rowsAt(t *testing.T, server *testenv.Postgres) string {
	t.Helper()
	u, err := url.Parse(server.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	file := filepath.Join(t.TempDir(), "pgpass")
	if err := os.WriteFile(file, fmt.Appendf(nil, "*:*:*:%s:%s\n", u.User.Username(), password), 0o600); err != nil {
		t.Fatal(err)
	}
	u.User = url.User(u.User.Username())
	query := u.Query()
	query.Set("passfile", file)
	u.RawQuery = query.Encode()
	return u.String()
}

// onServers makes a square whose rows lie on PostgreSQL and whose objects lie on MinIO.
func onServers(t *testing.T) layout {
	t.Helper()
	postgres, store := testenv.StartPostgres(t), testenv.MinIO(t)
	if err := store.Admin(t).MakeBucket(t.Context(), "clips", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	a := addresses{
		catalogue: rowsAt(t, postgres), keys: rowsAt(t, postgres),
		objects: fmt.Sprintf("s3://%s/clips?tls=false&credentials=%s", store.Address, testenv.Credentials(t, store.Access, store.Secret)),
	}
	l := layout{t.TempDir() + "/square"}
	if err := initSite(t.Context(), l, a); err != nil {
		t.Fatal(err)
	}
	describe(t, l)
	text, err := os.ReadFile(l.config())
	if err != nil {
		t.Fatal(err)
	}
	text = fmt.Appendf(text, "\nobjects: %s\ncatalogue: %s\nkeys: %s\n", a.objects, a.catalogue, a.keys)
	if err := os.WriteFile(l.config(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	applied(t, l)
	return l
}

// A system clock that lies, beside a real database server and a real object store: a leap of a year ahead deletes nothing early
// and is told once; a year back leaves nothing that is due.
func TestSystemClockThatLies(t *testing.T) {
	l := onServers(t)
	clips := recorded(t, l, 2)
	lie := time.Duration(0)
	s, err := openSite(t.Context(), siteOptions{data: l.root, wall: func() time.Time { return time.Now().Add(lie) }, signing: true, rights: s3.Erase, logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	re := openRetain(t.Context(), s, reaping{})
	defer re.close()
	registry := newRegistry()
	re.meter(meter{registry})
	watch := (&clockWatch{site: s}).began()
	state := func(c retention.Clip) retention.State {
		have, err := re.books.Clip(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		return have.State
	}
	sweep := func(what string) {
		t.Helper()
		watch.look(t.Context())
		if _, err := re.sweeper.Sweep(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	distrusted := func(want float64) {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "klarsyn_clock_distrusted" {
				if got := f.GetMetric()[0].GetGauge().GetValue(); got != want {
					t.Errorf("distrusted is %v, want %v", got, want)
				}
				return
			}
		}
		t.Error("the metric is missing")
	}
	distrusted(0)
	if names := s.clock.Offsets(); len(names) != 2 || names["database"].Abs() > 10*time.Second || names["store"].Abs() > 10*time.Second {
		t.Errorf("the other clocks: %v", names)
	}

	lie = 8760 * time.Hour
	for range 3 {
		sweep("a year ahead")
	}
	if state(clips[0]) != retention.Committed || state(clips[1]) != retention.Committed {
		t.Error("a clip was deleted a year early")
	}
	distrusted(1)
	faults := func() []audit.Numbered {
		if err := s.log.Sequence(t.Context()); err != nil {
			t.Fatal(err)
		}
		all, err := s.log.Entries(t.Context(), audit.Query{Events: []policy.Event{policy.ClockFault}})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if told := faults(); len(told) != 1 || !strings.Contains(told[0].Reason, "two clocks that agree") {
		t.Errorf("the log says %+v", told)
	}
	lie = 0
	sweep("right again")
	distrusted(0)

	if _, err := s.db.ExecContext(t.Context(), `UPDATE catalogue_clip SET deadline_us = $1 WHERE id = $2`, time.Now().Add(-time.Second).UnixMicro(), clips[0].ID); err != nil {
		t.Fatal(err)
	}
	lie = -8760 * time.Hour
	sweep("a year back")
	if state(clips[0]) != retention.Deleted || state(clips[1]) != retention.Committed {
		t.Errorf("what is due is %s, what is not is %s", state(clips[0]), state(clips[1]))
	}
	if told := faults(); len(told) != 2 {
		t.Errorf("another fault is another entry: %d", len(told))
	}
}

// The store's clock cannot be asked: the system's and the database's are enough.
func TestStoreIsAwayAndDeletionGoesOn(t *testing.T) {
	l := onServers(t)
	clips := recorded(t, l, 1)
	s, err := openSite(t.Context(), siteOptions{data: l.root, signing: true, rights: s3.Erase, logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	s.clock.Among(s.witnesses()[0], retention.Witness{Name: "store", Ask: func(context.Context) (time.Time, error) { return time.Time{}, os.ErrDeadlineExceeded }})
	s.clock.Ask(t.Context())
	re := openRetain(t.Context(), s, reaping{})
	defer re.close()
	if _, err := s.db.ExecContext(t.Context(), `UPDATE catalogue_clip SET deadline_us = $1`, time.Now().Add(-time.Second).UnixMicro()); err != nil {
		t.Fatal(err)
	}
	if _, err := re.sweeper.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if have, err := re.books.Clip(t.Context(), clips[0].ID); err != nil || have.State != retention.Deleted {
		t.Errorf("the clip is %s, %v", have.State, err)
	}
}
