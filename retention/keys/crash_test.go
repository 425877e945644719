package keys_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"klarsyn/deploy/testenv"
	"klarsyn/retention/keys"
)

// killed runs a rotation that dies at the n'th passing of a point, and reports whether it came there.
func killed(t *testing.T, program, point string, n int, args ...string) bool {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "KLARSYN_CRASH="+point+":"+strconv.Itoa(n))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return true
	}
	t.Fatalf("%s: %v: %s", point, err, out)
	return false
}

// A rotation that is killed between any two of its steps is ended by being run again. Whatever happens, who was started before it
// reads everything; when it is over the old master key is gone, and there is one new one.
func TestRotationIsKilledAnywhere(t *testing.T) {
	program := filepath.Join(t.TempDir(), "rotator")
	if out, err := exec.Command("go", "build", "-tags", "crashpoints", "-o", program, "./testdata/rotator").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	common := []string{"rotate.fenced", "rotate.row", "rotate.row:4", "rotate.resealed", "rotate.logged", "rotate.announced", "rotate.destroyed", "rotate.scrubbed"}
	local := append([]string{"rotate.made", "rotate.kept", "rotate.replaced", "rotate.published"}, common...)
	for _, point := range local {
		t.Run("in the file, "+point, func(t *testing.T) {
			v := filled(t)
			running := v.store.Opener
			backup := v.rows()
			name, n := passing(point)
			if !killed(t, program, name, n, v.path, v.folder) {
				t.Fatal("the point was not passed")
			}
			v.readable("killed", running)
			v.day("2026-12-01") // somebody mints meanwhile
			v.readable("minted after the kill", running)
			if killed(t, program, "none", 1, v.path, v.folder) {
				t.Fatal("it died of itself")
			}
			v.readable("after, started before", running)
			v.readable("after, started now", v.local())
			for name, sealed := range backup {
				if _, err := v.local().Open(t.Context(), sealed); !errors.Is(err, keys.ErrForeign) {
					t.Errorf("the old master key opens %s still: %v", name, err)
				}
			}
			v.onlyFiles("master.key", "master.pub")
		})
	}
	for _, point := range append([]string{"rotate.made", "rotate.ended"}, common...) {
		t.Run("on a key server, "+point, func(t *testing.T) {
			server := testenv.StartTransit(t)
			server.Key(t, "square")
			v := filled(t)
			kms := server.Master("square", server.Root(t))
			tr := transit(t, kms)
			v.moveTo(tr)
			v.store.Sealer = tr
			backup := v.rows()
			name, n := passing(point)
			if !killed(t, program, name, n, v.path, v.folder, kms) {
				t.Fatal("the point was not passed")
			}
			v.readable("killed", tr)
			v.day("2026-12-01")
			if killed(t, program, "none", 1, v.path, v.folder, kms) {
				t.Fatal("it died of itself")
			}
			v.readable("after", tr)
			for name, sealed := range backup {
				if _, err := tr.Open(t.Context(), sealed); !errors.Is(err, keys.ErrForeign) {
					t.Errorf("the old version opens %s still: %v", name, err)
				}
			}
		})
	}
	for _, point := range common {
		t.Run("from the file to a key server, "+point, func(t *testing.T) {
			server := testenv.StartTransit(t)
			server.Key(t, "square")
			v := filled(t)
			kms := server.Master("square", server.Root(t))
			tr := transit(t, kms)
			before := v.store.Opener
			ring := &keys.Ring{Load: func() (keys.Sealer, []keys.Opener, error) { return tr, []keys.Opener{tr, before}, nil }}
			name, n := passing(point)
			if !killed(t, program, name, n, v.path, v.folder, kms) {
				t.Fatal("the point was not passed")
			}
			v.readable("killed", ring)
			v.store.Sealer = ring
			v.day("2026-12-01")
			if killed(t, program, "none", 1, v.path, v.folder, kms) {
				t.Fatal("it died of itself")
			}
			v.readable("after", tr)
			v.onlyFiles()
		})
	}
}

// passing is the point and at which passing of it to die.
func passing(point string) (name string, n int) {
	name, count, found := strings.Cut(point, ":")
	if !found {
		return name, 1
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		panic(err) // it stands above
	}
	return name, n
}

// onlyFiles checks what lies in the folder of the local master key.
func (v *vaulted) onlyFiles(want ...string) {
	v.t.Helper()
	entries, err := os.ReadDir(v.folder)
	if err != nil {
		v.t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		v.t.Errorf("the folder of the master key holds %v, want %v", got, want)
	}
}
