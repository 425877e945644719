package catalogue_test

import (
	"maps"
	"testing"
	"time"

	"klarsyn/camera"
)

func backgroundKeys(t *testing.T, b *books) {
	ctx := t.Context()
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	key := func(cam camera.ID, now time.Time) string {
		t.Helper()
		k, err := b.BackgroundKey(ctx, cam, now)
		b.must(err)
		return k
	}
	if got := key("k1", at); got != "" {
		t.Errorf("a key before any: %q", got)
	}
	b.must(b.KeepBackground(ctx, "k1", "first", at.Add(time.Hour)))
	b.must(b.KeepBackground(ctx, "k1", "second", at.Add(2*time.Hour)))
	b.must(b.KeepBackground(ctx, "k2", "other", at.Add(time.Hour)))
	for _, tt := range []struct {
		cam  camera.ID
		now  time.Time
		want string
	}{
		{"k1", at.Add(2*time.Hour - time.Microsecond), "second"}, {"k1", at.Add(2 * time.Hour), ""},
		{"k2", at, "other"}, {"k2", at.Add(time.Hour), ""}, {"k3", at, ""},
	} {
		if got := key(tt.cam, tt.now); got != tt.want {
			t.Errorf("camera %s at %s: key %q, want %q", tt.cam, tt.now, got, tt.want)
		}
	}
	if n, err := b.ExpireBackgrounds(ctx, at.Add(time.Hour)); n != 1 || err != nil {
		t.Errorf("expired %d, %v; want that of k2", n, err)
	}
	got, err := b.Backgrounds(ctx)
	b.must(err)
	if want := map[camera.ID]time.Time{"k1": at.Add(2 * time.Hour)}; !maps.EqualFunc(got, want, time.Time.Equal) {
		t.Errorf("left: %v, want %v", got, want)
	}
}
