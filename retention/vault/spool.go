package vault

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"klarsyn/camera"
	"klarsyn/retention/crashpoint"
)

// ErrDiskFull says that the spool keeps its last room for deletion.
var ErrDiskFull error = diskFull{}

// diskFull is one way in which storage is full.
type diskFull struct{}

func (diskFull) Error() string { return "the disk of the spool is full" }

func (diskFull) Unwrap() error { return camera.ErrStorageFull }

// ErrSpoolTaken says that another recorder uses the spool.
var ErrSpoolTaken = errors.New("another recorder is running on this spool")

// spool is the folder where clips lie sealed between camera and store. A clip has two files: ID.seal,
// the sealed stream, and ID.idx, a line of numbers for each whole fragment, so that after a crash the
// recorder knows how far a stream reaches that it cannot read.
type spool struct {
	folder  string
	minFree uint64
	lock    *os.File
	// synced, if set, is told that the folder was: a test watches it.
	synced func()
}

const (
	sealed = ".seal"
	index  = ".idx"
)

// ErrOtherNode says that the clips in the spool were reserved under another recorder's name.
var ErrOtherNode = errors.New("the spool holds clips of another recorder")

func openSpool(folder, node string, minFree uint64) (*spool, error) {
	if err := os.MkdirAll(folder, 0o770); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	s := &spool{folder: folder, minFree: minFree}
	lock, err := s.open("lock", os.O_CREATE|os.O_RDWR)
	if err != nil {
		return nil, err
	}
	s.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%w: %s; stop that one first, or give this one another data directory", ErrSpoolTaken, folder)
	}
	if err := s.belong(node); err != nil {
		lock.Close()
		return nil, err
	}
	return s, nil
}

// belong binds the spool to the recorder's name while it holds clips: their rows are found by that name.
func (s *spool) belong(node string) error {
	named := filepath.Join(s.folder, "node")
	b, err := os.ReadFile(named)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("spool: %w", err)
	}
	ids, err := s.ids()
	if err != nil {
		return err
	}
	if before := strings.TrimSpace(string(b)); before != node && before != "" && len(ids) > 0 {
		return fmt.Errorf("%w: %s has %d of %q, and this one is %q; start once as node %q, so that they are stored", ErrOtherNode, s.folder, len(ids), before, node, before)
	}
	f, err := s.open("node", os.O_CREATE|os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.WriteString(f, node+"\n"); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return s.sync()
}

// open opens a file of the spool. A new one gets the rights that the folder gives its group, whatever the
// umask: who checks it, or goes on with it, may be another user.
func (s *spool) open(name string, flags int) (*os.File, error) {
	folder, err := os.Stat(s.folder)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(s.folder, name), flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	// An old one may be somebody else's, who shared it as he wanted.
	if err := f.Chmod(0o600 | folder.Mode()&0o060); err != nil && !errors.Is(err, fs.ErrPermission) {
		f.Close()
		return nil, fmt.Errorf("spool: %w", err)
	}
	return f, nil
}

func (s *spool) close() error { return s.lock.Close() }

func (s *spool) path(id, ending string) string { return filepath.Join(s.folder, id+ending) }

// room refuses to write when less than minFree is left.
func (s *spool) room() error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.folder, &st); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if free := st.Bavail * uint64(st.Bsize); free < s.minFree {
		// Without the free space in it: it changes, and a gap with another detail is another gap.
		return fmt.Errorf("%w: less than %d MiB free, which are kept for deletion; free space, or lower min_free_mib (demo: --min-free)", ErrDiskFull, s.minFree>>20)
	}
	return nil
}

// sync makes what was made in the folder, and what was removed from it, survive a power cut.
func (s *spool) sync() error {
	d, err := os.Open(s.folder)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if s.synced != nil {
		s.synced()
	}
	return nil
}

// size is how long a sealed file is; 0 if there is none.
func (s *spool) size(id string) (int64, error) {
	st, err := os.Stat(s.path(id, sealed))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	return st.Size(), nil
}

// remove drops a clip's files for good. It syncs also where there are none: who removed them may have died
// before that.
func (s *spool) remove(id string) error {
	var errs []error
	for _, ending := range []string{sealed, index} {
		if err := os.Remove(s.path(id, ending)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("spool: %w", err))
		}
		if ending == sealed {
			crashpoint.Here("spool.stream-removed")
		}
	}
	crashpoint.Here("spool.index-removed")
	return errors.Join(append(errs, s.sync())...)
}

// ids lists the clips that have a file here.
func (s *spool) ids() ([]string, error) {
	entries, err := os.ReadDir(s.folder)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	seen := map[string]bool{}
	var ids []string
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), sealed)
		if !ok {
			id, ok = strings.CutSuffix(e.Name(), index)
		}
		if ok && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// mark is one line of an index: after plain bytes of footage the clip reaches to End.
type mark struct {
	plain int64
	camera.Closing
}

const lastLine = "end"

func (m mark) String() string { return fmt.Sprintf("%d %d %d", m.plain, m.End.UnixMicro(), m.Frames) }

// marks reads a clip's index. closed says that the clip was closed in good order. A line that a crash
// cut off counts as not written.
func (s *spool) marks(id string) (marks []mark, closed bool, err error) {
	f, err := os.Open(s.path(id, index))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("spool: %w", err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return marks, false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("spool: %w", err)
		}
		if line == lastLine+"\n" {
			return marks, len(marks) > 0, nil
		}
		var m mark
		var us int64
		_, err = fmt.Sscanf(line, "%d %d %d\n", &m.plain, &us, &m.Frames)
		if err != nil || m.plain < 0 || m.Frames < 0 || len(marks) > 0 && m.plain < marks[len(marks)-1].plain {
			return marks, false, nil // what follows a damaged line is not believed
		}
		m.End = time.UnixMicro(us).UTC()
		marks = append(marks, m)
	}
}

// hash measures a sealed file as it lies there.
func (s *spool) hash(id string) (size int64, sum [sha256.Size]byte, err error) {
	f, err := os.Open(s.path(id, sealed))
	if err != nil {
		return 0, sum, fmt.Errorf("spool: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return 0, sum, fmt.Errorf("spool: %w", err)
	}
	return size, [sha256.Size]byte(h.Sum(nil)), nil
}

// truncate cuts a file that a crash left to whole chunks and returns how much footage that is.
func (s *spool) truncate(id string) (plain int64, err error) {
	size, err := s.size(id)
	if err != nil || size == 0 {
		return 0, err
	}
	keep, plain := wholeChunks(size)
	if err := os.Truncate(s.path(id, sealed), keep); err != nil {
		return 0, fmt.Errorf("spool: %w", err)
	}
	crashpoint.Here("recover.truncated")
	return plain, nil
}

// Spooled lists the clips that have files in a spool folder; none if there is no such folder.
func Spooled(folder string) ([]string, error) {
	ids, err := (&spool{folder: folder}).ids()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return ids, err
}

// Leftovers is the spool of a data directory as deletion sees it: a clip whose recorder is down expires
// there, too. Objects are named by their clip's id.
type Leftovers struct {
	Folder string
	synced func()
}

// Erase removes the files of the clip that an object key names and says how many. After it a power cut brings
// none of them back, whoever removed them.
func (l Leftovers) Erase(key string) (int, error) {
	n, err := l.Remains(key)
	if err != nil {
		return 0, err
	}
	err = (&spool{folder: l.Folder, synced: l.synced}).remove(path.Base(key))
	if errors.Is(err, fs.ErrNotExist) { // no recorder ever had a spool here
		err = nil
	}
	return n, err
}

// Remains counts the files of the clip that an object key names.
func (l Leftovers) Remains(key string) (int, error) {
	s := &spool{folder: l.Folder}
	n := 0
	for _, ending := range []string{sealed, index} {
		_, err := os.Stat(s.path(path.Base(key), ending))
		switch {
		case err == nil:
			n++
		case !errors.Is(err, fs.ErrNotExist):
			return n, fmt.Errorf("spool: %w", err)
		}
	}
	return n, nil
}
