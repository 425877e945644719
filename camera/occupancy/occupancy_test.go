package occupancy_test

import (
	"database/sql"
	"math"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"klarsyn/camera"
	"klarsyn/camera/occupancy"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func store(t *testing.T) *occupancy.Store {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "o.db")+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for range 2 { // a second migration finds nothing to do
		if err := occupancy.Migrate(t.Context(), db, "sqlite3"); err != nil {
			t.Fatal(err)
		}
	}
	return &occupancy.Store{DB: db}
}

func add(t *testing.T, s *occupancy.Store, samples ...camera.Sample) {
	t.Helper()
	if err := s.Add(t.Context(), samples); err != nil {
		t.Fatal(err)
	}
}

func sample(cam camera.ID, zone string, second int, present float64) camera.Sample {
	return camera.Sample{
		Camera: cam, Zone: zone, Time: noon.Add(time.Duration(second) * time.Second), Quality: camera.QualityOK,
		Present: present, Moving: present / 2, Low: present - 1, High: present + 1,
	}
}

func TestWhatWasCountedComesBack(t *testing.T) {
	s := store(t)
	m := sample("k1", "stairs", 0, 7.25)
	m.Time = m.Time.Add(123456 * time.Microsecond)
	add(t, s, m)
	got, err := s.Samples(t.Context(), "", "", noon, noon.Add(time.Hour), 10)
	if err != nil || !reflect.DeepEqual(got, []camera.Sample{m}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Unknown is not zero: whatever numbers such a sample bears, they are not stored and do not come back.
func TestUnknownHasNoNumbers(t *testing.T) {
	for name, m := range map[string]camera.Sample{
		"unknown":               {Quality: camera.QualityUnknown, Present: 5, Moving: 4, Low: 3, High: 6},
		"learning":              {Quality: camera.QualityLearning, Present: 5},
		"not a number":          {Quality: camera.QualityOK, Present: math.NaN(), Low: 1, High: 2},
		"an infinite error bar": {Quality: camera.QualityOK, Present: 1, High: math.Inf(1)},
	} {
		t.Run(name, func(t *testing.T) {
			s := store(t)
			m.Camera, m.Zone, m.Time = "k1", "stairs", noon
			add(t, s, m)
			var numbers int
			if err := s.DB.QueryRow(`SELECT count(present) + count(moving) + count(low) + count(high) FROM occupancy_sample`).Scan(&numbers); err != nil || numbers != 0 {
				t.Errorf("%d numbers are stored, %v", numbers, err)
			}
			got, err := s.Latest(t.Context(), noon)
			if err != nil || len(got) != 1 {
				t.Fatalf("got %+v, %v", got, err)
			}
			g := got[0]
			if g.Quality == camera.QualityOK || g.Present != 0 || g.Moving != 0 || g.Low != 0 || g.High != 0 {
				t.Errorf("came back as %+v", g)
			}
		})
	}
}

func TestZeroIsANumber(t *testing.T) {
	s := store(t)
	add(t, s, camera.Sample{Camera: "k1", Zone: "stairs", Time: noon, Quality: camera.QualityOK})
	var numbers int
	if err := s.DB.QueryRow(`SELECT count(present) FROM occupancy_sample`).Scan(&numbers); err != nil || numbers != 1 {
		t.Errorf("an empty square is stored as NULL")
	}
}

func TestLatestIsTheNewestOfEveryZone(t *testing.T) {
	s := store(t)
	add(t, s, sample("k1", "stairs", 0, 1), sample("k1", "fountain", 0, 2), sample("k2", "stairs", 0, 3), sample("k3", "old", -3600, 9))
	add(t, s, sample("k1", "stairs", 2, 4))
	unknown := camera.Sample{Camera: "k2", Zone: "stairs", Time: noon.Add(2 * time.Second), Quality: camera.QualityUnknown}
	add(t, s, unknown)
	got, err := s.Latest(t.Context(), noon)
	want := []camera.Sample{sample("k1", "fountain", 0, 2), sample("k1", "stairs", 2, 4), unknown}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if got, err := s.Latest(t.Context(), noon.Add(3*time.Second)); err != nil || len(got) != 0 {
		t.Errorf("what is older than asked for came back: %+v, %v", got, err)
	}
}

func TestSamplesOfARange(t *testing.T) {
	s := store(t)
	for second := range 5 {
		add(t, s, sample("k1", "stairs", second, float64(second)), sample("k2", "stairs", second, 10), sample("k1", "fountain", second, 20))
	}
	at := func(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }
	for name, c := range map[string]struct {
		cam      camera.ID
		zone     string
		from, to int
		limit    int
		want     []int // seconds
	}{
		"the end is not in it":  {"k1", "stairs", 1, 3, 10, []int{1, 2}},
		"nothing":               {"k1", "stairs", 3, 3, 10, nil},
		"all zones of a camera": {"k1", "", 0, 2, 10, []int{0, 0, 1, 1}},
		"all cameras of a zone": {"", "stairs", 4, 5, 10, []int{4, 4}},
		"the oldest first":      {"", "", 0, 5, 4, []int{0, 0, 0, 1}},
		"a camera without any":  {"k9", "", 0, 5, 10, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.Samples(t.Context(), c.cam, c.zone, at(c.from), at(c.to), c.limit)
			if err != nil {
				t.Fatal(err)
			}
			var seconds []int
			for _, m := range got {
				seconds = append(seconds, int(m.Time.Sub(noon)/time.Second))
			}
			if !reflect.DeepEqual(seconds, c.want) {
				t.Errorf("seconds %v, want %v", seconds, c.want)
			}
		})
	}
}

// A batch is kept as a whole or not at all.
func TestBatchThatCannotBeKept(t *testing.T) {
	s := store(t)
	if _, err := s.DB.Exec(`CREATE TRIGGER broken BEFORE INSERT ON occupancy_sample WHEN NEW.zone = 'bad' BEGIN SELECT RAISE(ABORT, 'broken'); END`); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), []camera.Sample{sample("k1", "stairs", 0, 1), sample("k1", "bad", 0, 1)}); err == nil {
		t.Fatal("no error")
	}
	if got, err := s.Samples(t.Context(), "", "", noon, noon.Add(time.Hour), 10); err != nil || len(got) != 0 {
		t.Errorf("half a batch was kept: %+v, %v", got, err)
	}
}
