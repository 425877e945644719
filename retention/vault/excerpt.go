package vault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
)

// excerpt is a part of a fragmented MP4: its header and a run of whole fragments that begins with a keyframe.
type excerpt struct {
	header   int64 // bytes from the beginning
	at, end  int64 // where the run of fragments lies
	from, to time.Duration
	frames   int
	size     int64
	whole    bool // it has every fragment
}

// fragment is one moof with its mdat. Times count from the file's first picture.
type fragment struct {
	at, end  int64
	from, to time.Duration
	frames   int
	keyframe bool // it begins with one
}

// maxBox bounds a box that is held in memory: a fragment of a recorder holds 16 MiB and one picture more.
const maxBox = 256 << 20

// errNotFragmented says that footage is not made of fragments, as every recorded clip is.
var errNotFragmented = errors.New("the footage is not fragmented MP4 as it is recorded")

// excerptOf finds the shortest run of whole fragments that covers [from, to) of footage and can be decoded by itself.
func excerptOf(r io.ReadSeeker, from, to time.Duration) (excerpt, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return excerpt{}, err
	}
	header, fragments, err := fragmentsOf(r)
	if err != nil {
		return excerpt{}, err
	}
	// What is wanted begins with the last keyframe that is not after it, and ends before the first fragment that is.
	begin, end := 0, len(fragments)
	for i, f := range fragments {
		if f.keyframe && f.from <= from {
			begin = i
		}
	}
	for end > begin+1 && fragments[end-1].from >= to {
		end--
	}
	e := excerpt{header: header, at: fragments[begin].at, end: fragments[end-1].end, from: fragments[begin].from, to: fragments[end-1].to,
		whole: begin == 0 && end == len(fragments)}
	for _, f := range fragments[begin:end] {
		e.frames += f.frames
	}
	e.size = e.header + e.end - e.at
	return e, nil
}

// fragmentsOf reads a file through: how long its header is, and its fragments. What a crash cut off at its end is no fragment.
func fragmentsOf(r io.Reader) (header int64, all []fragment, err error) {
	var scale uint32
	var pos, moofAt int64
	var front, moof []byte
	for {
		kind, box, err := readBox(r)
		// Only the end of the clip itself: a store that broke off says the same words within another error, and then nobody knows
		// what follows.
		if err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // see above
			break
		}
		if err != nil {
			return 0, nil, err
		}
		at := pos
		pos += int64(len(box))
		switch kind {
		case "ftyp":
			front = box
		case "moov":
			if scale, err = timescaleOf(append(front, box...)); err != nil {
				return 0, nil, err
			}
			header = pos
		case "moof":
			moof, moofAt = box, at
		case "mdat":
			f, err := fragmentOf(append(moof, box...), scale)
			if err != nil {
				return 0, nil, err
			}
			f.at, f.end, moof = moofAt, pos, nil
			all = append(all, f)
		}
	}
	if header == 0 || len(all) == 0 {
		return 0, nil, errNotFragmented
	}
	return header, all, nil
}

// readBox reads one box of the file, whole.
func readBox(r io.Reader) (kind string, box []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", nil, err // io.EOF only where a box ends
	}
	size := int64(binary.BigEndian.Uint32(head[:4]))
	if size < int64(len(head)) || size > maxBox {
		return "", nil, fmt.Errorf("a box of %d bytes: %w", size, errNotFragmented)
	}
	// Grown as it is read: a size that lies costs no memory.
	body := bytes.NewBuffer(bytes.Clone(head[:]))
	if _, err := io.CopyN(body, r, size-int64(len(head))); err != nil {
		if err == io.EOF { //nolint:errorlint // the clip's own end
			err = io.ErrUnexpectedEOF
		}
		return "", nil, err
	}
	return string(head[4:]), body.Bytes(), nil
}

// timescaleOf is how many units of time a second has, as a file's header says.
func timescaleOf(front []byte) (uint32, error) {
	var head fmp4.Init
	if err := head.Unmarshal(bytes.NewReader(front)); err != nil {
		return 0, fmt.Errorf("%w: its header: %w", errNotFragmented, err)
	}
	if len(head.Tracks) != 1 || head.Tracks[0].TimeScale == 0 {
		return 0, fmt.Errorf("%w: %d tracks", errNotFragmented, len(head.Tracks))
	}
	return head.Tracks[0].TimeScale, nil
}

// fragmentOf reads when a fragment is, and how many pictures it has.
func fragmentOf(moofAndMdat []byte, scale uint32) (fragment, error) {
	var parts fmp4.Parts
	if err := parts.Unmarshal(moofAndMdat); err != nil {
		return fragment{}, fmt.Errorf("%w: a fragment: %w", errNotFragmented, err)
	}
	if scale == 0 || len(parts) != 1 || len(parts[0].Tracks) != 1 || len(parts[0].Tracks[0].Samples) == 0 {
		return fragment{}, fmt.Errorf("%w: a fragment without pictures", errNotFragmented)
	}
	track := parts[0].Tracks[0]
	ticks := track.BaseTime
	for _, s := range track.Samples {
		ticks += uint64(s.Duration)
	}
	return fragment{
		from: inSeconds(track.BaseTime, scale), to: inSeconds(ticks, scale), frames: len(track.Samples), keyframe: !track.Samples[0].IsNonSyncSample,
	}, nil
}

func inSeconds(ticks uint64, scale uint32) time.Duration {
	s := uint64(scale)
	return time.Duration(ticks/s)*time.Second + time.Duration(ticks%s)*time.Second/time.Duration(s)
}

// copyTo writes the excerpt, byte by byte as it was recorded.
func (e excerpt) copyTo(w io.Writer, r io.ReadSeeker) error {
	for _, run := range [][2]int64{{0, e.header}, {e.at, e.end}} {
		if _, err := r.Seek(run[0], io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(w, r, run[1]-run[0]); err != nil {
			return fmt.Errorf("copying a part of a clip: %w", err)
		}
	}
	return nil
}
