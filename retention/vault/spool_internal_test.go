package vault

import (
	"os"
	"testing"
	"time"

	"klarsyn/camera"
)

// Whatever a damaged disk makes of an index: reading it neither fails nor believes in a clip that shrinks.
func FuzzMarks(f *testing.F) {
	good := mark{1000, camera.Closing{End: time.UnixMicro(5), Frames: 10}}.String() + "\n"
	for _, text := range []string{"", good, good + good + "end\n", good + "end", "end\n", "-5 1 1\nend\n", "2 1 1\n1 1 1\nend\n", "9999999999999999999 1 1\n", "\x00"} {
		f.Add([]byte(text))
	}
	s := &spool{folder: f.TempDir()}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(s.path("id", index), text, 0o600); err != nil {
			t.Fatal(err)
		}
		marks, closed, err := s.marks("id")
		if err != nil || closed && len(marks) == 0 {
			t.Fatalf("%d marks, closed %v, %v", len(marks), closed, err)
		}
		last := int64(0)
		for _, m := range marks {
			if m.plain < last || m.Frames < 0 {
				t.Fatalf("marks %v", marks)
			}
			last = m.plain
		}
	})
}

func TestSealedSize(t *testing.T) {
	for plain, want := range map[int64]int64{0: 32, 1: 33, 65535: 65567, 65536: 65568, 65537: 65585, 131072: 131120} {
		if got := sealedSize(plain); got != want {
			t.Errorf("%d bytes are sealed in %d, want %d", plain, got, want)
		}
	}
}
