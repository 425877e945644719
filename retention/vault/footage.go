package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"

	"klarsyn/policy"
	"klarsyn/retention"
	"klarsyn/retention/object"
)

// Shelf is where clips are looked up.
type Shelf interface {
	Clip(ctx context.Context, id string) (retention.Clip, error)
	Header(ctx context.Context, id string) ([]byte, error)
	// CaseKey is what opens a held clip with the key of a case, or retention.ErrGone if no hold of the case keeps it.
	CaseKey(ctx context.Context, id, caseNumber string) (retention.SealedKey, error)
}

// Keyring opens day keys and the keys of cases.
type Keyring interface {
	Identity(ctx context.Context, permit, day string) (age.Identity, error)
	CaseIdentity(ctx context.Context, caseNumber string) (age.Identity, error)
}

// Reader is what the serving side may do with a store.
type Reader interface {
	Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error)
	Stat(ctx context.Context, key string) (object.Info, error)
}

// Clock tells the latest time that any clock knows, by which footage expires, and the time that the log
// goes by, by which grants do: the Gate mints them by it, and the two differ by as much as a system clock
// that nobody vouched for.
type Clock interface {
	Reading() time.Time
	Logging() time.Time
}

// Vault opens footage for those who hold a Grant.
type Vault struct {
	Shelf   Shelf
	Keyring Keyring
	Store   Reader
	Clock   Clock
	// Timeout bounds one read from the store (default 30 s).
	Timeout time.Duration
}

// Open opens one clip. ctx bounds the whole reading. The errors are those of package retention.
func (v *Vault) Open(ctx context.Context, g policy.Grant, clipID string) (retention.Footage, error) {
	c, err := v.Shelf.Clip(ctx, clipID)
	if errors.Is(err, retention.ErrNotFound) {
		return nil, err
	}
	if err != nil {
		return nil, unavailable(err)
	}
	if !g.Opens(c.ID, string(c.Camera), v.Clock.Logging()) {
		return nil, retention.ErrNoGrant
	}
	f, err := v.open(ctx, c, g.Case())
	if err != nil {
		return nil, err
	}
	return f, nil
}

// open opens a clip for a case, for those in this package who answer for it. Footage is nothing without what its clip was looked
// up for: a Grant, or a hold.
func (v *Vault) open(ctx context.Context, c retention.Clip, caseNumber string) (*footage, error) {
	if err := v.alive(c); err != nil {
		return nil, err
	}
	header, identity, held, err := v.key(ctx, c, caseNumber)
	if err != nil {
		return nil, err
	}
	info, err := v.Store.Stat(ctx, c.ObjectKey)
	if errors.Is(err, object.ErrNotFound) {
		return nil, fmt.Errorf("clip %s: the stored object is missing: %w", c.ID, retention.ErrDamaged)
	}
	if err != nil {
		return nil, unavailable(err)
	}
	if info.Size != c.Size {
		return nil, fmt.Errorf("clip %s: %d bytes are stored where %d were: %w", c.ID, info.Size, c.Size, retention.ErrDamaged)
	}
	src := &objectAt{ctx: ctx, v: v, key: c.ObjectKey, header: header, size: int64(len(header)) + c.Size}
	f := &footage{v: v, clip: c, src: src, number: caseNumber, held: held}
	if held {
		f.seen = time.Now()
	}
	if c.State == retention.Partial {
		f.plain = &cutOff{src: src, identity: identity, size: c.PlainSize}
	} else {
		at, size, err := age.DecryptReaderAt(src, src.size, identity)
		if err != nil {
			return nil, f.blame(err)
		}
		if size != c.PlainSize {
			return nil, fmt.Errorf("clip %s: %d bytes were sealed where the catalogue says %d: %w", c.ID, size, c.PlainSize, retention.ErrDamaged)
		}
		f.plain = at
	}
	return f, nil
}

// alive refuses what is past its deadline by any clock and not held, or not in a readable state.
func (v *Vault) alive(c retention.Clip) error {
	switch {
	case c.State == retention.Deleting, c.State == retention.Deleted, !c.Held() && v.over(c):
		return retention.ErrGone
	case c.State == retention.Pending:
		return retention.ErrNotReady
	case !c.Readable():
		return retention.ErrNoFootage
	}
	return nil
}

// over reports whether the clip's deadline has passed by any clock.
func (v *Vault) over(c retention.Clip) bool { return !v.Clock.Reading().Before(c.Deadline) }

// key is the header of a clip and what opens it. Until its deadline that is the day key; of what was cut out for a case, and from
// the deadline on, only the key of a case that holds the clip. held says that it is the hold that opens it.
func (v *Vault) key(ctx context.Context, c retention.Clip, caseNumber string) (header []byte, identity age.Identity, held bool, err error) {
	held = v.over(c) || c.KeyCase != ""
	if held && caseNumber == "" {
		return nil, nil, false, retention.ErrGone
	}
	var sealed retention.SealedKey
	if held {
		// Asked also for what is sealed to the case itself: its hold must be in force.
		if sealed, err = v.Shelf.CaseKey(ctx, c.ID, caseNumber); err != nil {
			return nil, nil, false, goneOrAway(err)
		}
		header = sealed.Header
	}
	if len(header) == 0 {
		if header, err = v.Shelf.Header(ctx, c.ID); err != nil {
			return nil, nil, false, goneOrAway(err)
		}
	}
	if !held {
		identity, err = v.Keyring.Identity(ctx, c.Permit, c.KeyDay)
	} else if identity, err = v.Keyring.CaseIdentity(ctx, caseNumber); err == nil && len(sealed.FileKey) > 0 {
		identity, err = unseal(sealed.FileKey, identity)
	}
	if err != nil {
		return nil, nil, false, unavailable(err)
	}
	return header, identity, held, nil
}

// goneOrAway tells a header that was destroyed from a database that cannot be asked.
func goneOrAway(err error) error {
	if errors.Is(err, retention.ErrGone) {
		return err
	}
	return unavailable(err)
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", retention.ErrUnavailable, err) }

// footage is an opened clip.
type footage struct {
	v     *Vault
	clip  retention.Clip
	src   *objectAt
	plain io.ReaderAt
	pos   int64

	number string    // the case for which it was opened; empty: none
	held   bool      // only a hold of that case lets it be read
	seen   time.Time // when that hold was last seen to be in force
}

// holdCheck is how long a hold is believed to be in force while somebody watches.
const holdCheck = time.Second

// stillMay refuses what may be read no longer: the deadline may pass, or the hold be lifted, while somebody watches. Who watches
// for a case that holds the clip watches on when the deadline passes.
func (f *footage) stillMay() error {
	switch {
	case !f.held && !f.v.over(f.clip), f.held && time.Since(f.seen) < holdCheck:
		return nil
	case f.number == "":
		return retention.ErrGone
	}
	ctx, cancel := context.WithTimeout(f.src.ctx, f.v.timeout())
	defer cancel()
	if _, err := f.v.Shelf.CaseKey(ctx, f.clip.ID, f.number); err != nil {
		return goneOrAway(err)
	}
	f.held, f.seen = true, time.Now()
	return nil
}

func (f *footage) Clip() retention.Clip { return f.clip }

func (f *footage) Read(p []byte) (int, error) {
	if err := f.stillMay(); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if f.pos >= f.clip.PlainSize {
		return 0, io.EOF
	}
	n, err := f.plain.ReadAt(p[:min(int64(len(p)), f.clip.PlainSize-f.pos)], f.pos)
	f.pos += int64(n)
	if n > 0 {
		return n, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		// The catalogue says that there is more.
		return 0, fmt.Errorf("clip %s ends early: %w", f.clip.ID, retention.ErrDamaged)
	}
	return 0, f.blame(err)
}

func (f *footage) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += f.clip.PlainSize
	}
	if offset < 0 {
		return f.pos, fmt.Errorf("clip %s: seeking before its beginning", f.clip.ID)
	}
	f.pos = offset
	return offset, nil
}

func (f *footage) Close() error { return nil }

// blame tells a store that cannot be read from bytes that are not what was sealed.
func (f *footage) blame(err error) error {
	if f.src.fault != nil {
		if errors.Is(f.src.fault, object.ErrNotFound) {
			return fmt.Errorf("clip %s: the stored object is missing: %w", f.clip.ID, retention.ErrDamaged)
		}
		return unavailable(f.src.fault)
	}
	return fmt.Errorf("clip %s: %w (%w)", f.clip.ID, retention.ErrDamaged, err)
}

// window is how much one request to the store asks for: footage is mostly read in order.
const window = 1 << 20

// objectAt reads header and object as the one age stream that they once were.
type objectAt struct {
	ctx    context.Context
	v      *Vault
	key    string
	header []byte
	size   int64

	held   []byte // a window of the object
	heldAt int64
	fault  error // the store's own fault, as against damaged bytes
}

func (o *objectAt) ReadAt(p []byte, at int64) (int, error) {
	o.fault = nil // a store that was away may be back
	n := 0
	for n < len(p) {
		pos := at + int64(n)
		if pos >= o.size {
			return n, io.EOF
		}
		if pos < int64(len(o.header)) {
			n += copy(p[n:], o.header[pos:])
			continue
		}
		pos -= int64(len(o.header))
		if pos < o.heldAt || pos >= o.heldAt+int64(len(o.held)) {
			if err := o.fetch(pos); err != nil {
				o.fault = err
				return n, err
			}
		}
		n += copy(p[n:], o.held[pos-o.heldAt:])
	}
	return n, nil
}

// timeout bounds one question.
func (v *Vault) timeout() time.Duration {
	if v.Timeout == 0 {
		return 30 * time.Second
	}
	return v.Timeout
}

func (o *objectAt) fetch(pos int64) error {
	ctx, cancel := context.WithTimeout(o.ctx, o.v.timeout())
	defer cancel()
	length := min(window, o.size-int64(len(o.header))-pos)
	r, err := o.v.Store.Open(ctx, o.key, pos, length)
	if err != nil {
		return err
	}
	defer r.Close()
	held := make([]byte, length)
	if _, err := io.ReadFull(r, held); err != nil {
		return fmt.Errorf("reading %s: %w", o.key, err)
	}
	o.held, o.heldAt = held, pos
	return nil
}

// cutOff reads a stream that a crash cut off: only from its beginning on, so that going back starts anew.
type cutOff struct {
	src      *objectAt
	identity age.Identity
	size     int64
	stream   io.Reader
	pos      int64
}

func (c *cutOff) ReadAt(p []byte, at int64) (int, error) {
	if c.stream == nil || at < c.pos {
		r, err := age.Decrypt(io.NewSectionReader(c.src, 0, c.src.size), c.identity)
		if err != nil {
			return 0, err
		}
		c.stream, c.pos = r, 0
	}
	skipped, err := io.CopyN(io.Discard, c.stream, at-c.pos)
	c.pos += skipped
	n := 0
	if err == nil {
		n, err = io.ReadFull(c.stream, p)
		c.pos += int64(n)
	}
	if err != nil {
		c.stream = nil // it fails for good from here on, though a store that was away may be back
	}
	return n, err
}
