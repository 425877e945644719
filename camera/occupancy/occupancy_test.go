package occupancy_test

import (
	"math"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"klarsyn/camera"
	"klarsyn/camera/occupancy"
	"klarsyn/retention/database"
	"klarsyn/retention/database/databasetest"
)

// TestMain runs all tests on each database.
func TestMain(m *testing.M) { os.Exit(databasetest.Main{M: m}.Run()) }

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func store(t *testing.T) *occupancy.Store {
	t.Helper()
	db := databasetest.Open(t).DB
	for range 2 { // a second migration finds nothing to do
		if err := database.Migrate(t.Context(), db, databasetest.Dialect(), database.Owner{Name: "occupancy", Files: occupancy.Migrations()}); err != nil {
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

// Ids follow the order of arrival, whatever the clock does and whoever writes: the table is read by id.
func TestIdsFollowArrival(t *testing.T) {
	s := store(t)
	clock := noon
	other := &occupancy.Store{DB: s.DB, Now: func() time.Time { return clock.Add(-time.Hour) }}
	s.Now = func() time.Time { return clock }
	want := []float64{}
	arrive := func(s *occupancy.Store, samples int) {
		t.Helper()
		var batch []camera.Sample
		for range samples {
			want = append(want, float64(len(want)))
			batch = append(batch, sample("k1", "stairs", 0, float64(len(want)-1)))
		}
		add(t, s, batch...)
	}
	arrive(s, 3) // within one millisecond
	arrive(s, 300)
	clock = clock.Add(3 * time.Hour)
	arrive(s, 2)
	clock = clock.Add(-3 * time.Hour)
	arrive(s, 2)
	arrive(other, 2)
	arrive(&occupancy.Store{DB: s.DB, Now: s.Now}, 2) // after a restart
	clock = clock.Add(4 * time.Hour)
	arrive(s, 2)

	rows, err := s.DB.Query(`SELECT present, id FROM occupancy_sample ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []float64
	var id string
	for rows.Next() {
		var present float64
		if err := rows.Scan(&present, &id); err != nil {
			t.Fatal(err)
		}
		got = append(got, present)
	}
	if err := rows.Err(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("by id they are %v, %v", got, err)
	}
	if last, err := ulid.ParseStrict(id); err != nil || !last.Timestamp().Equal(clock) {
		t.Errorf("the last id %s bears the time %s, want %s again", id, last.Timestamp(), clock)
	}
}

// A clock that leapt ahead and was put right leaves samples that bear a later time: they are not the latest.
func TestLatestAfterALeap(t *testing.T) {
	s := store(t)
	clock := noon.Add(3 * time.Hour)
	s.Now = func() time.Time { return clock }
	add(t, s, sample("k1", "stairs", 3*3600, 9))
	clock = noon
	add(t, s, sample("k1", "stairs", 2, 1))
	got, err := s.Latest(t.Context(), noon)
	if want := []camera.Sample{sample("k1", "stairs", 2, 1)}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
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
	if _, err := s.DB.Exec(`CREATE UNIQUE INDEX one_for_a_zone ON occupancy_sample (zone)`); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(t.Context(), []camera.Sample{sample("k1", "stairs", 0, 1), sample("k1", "stairs", 1, 1)}); err == nil {
		t.Fatal("no error")
	}
	if got, err := s.Samples(t.Context(), "", "", noon, noon.Add(time.Hour), 10); err != nil || len(got) != 0 {
		t.Errorf("half a batch was kept: %+v, %v", got, err)
	}
}
