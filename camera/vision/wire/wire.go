// Package wire is the language that klarsyn and its klarsyn-vision child speak over two pipes: framed,
// bounded messages, a handshake that compares builds, and nothing that either side must trust. Both
// sides import it; it is pure Go.
package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Version is the number of this protocol. It changes when a message changes its meaning or its bytes.
const Version = 4

// The bounds of the protocol. A message beyond them is refused before memory is spent on it.
const (
	MaxAccessUnit = 8 << 20 // bytes of all NAL units of one picture
	MaxNALUs      = 4096    // NAL units of one picture
	MaxText       = 1 << 10 // bytes of a fault's text
	MaxSetup      = 1 << 20 // bytes of a profile's or a scene's JSON
	MaxParameter  = 4 << 10 // bytes of one parameter set
	MaxZones      = 256     // zones of one camera
	MaxBackground = 1 << 20 // bytes of what a counter has learnt

	// maxBody is the largest message: a picture with its lengths and head.
	maxBody = MaxAccessUnit + 4*MaxNALUs + 64
	// headSize is four bytes of length (of type and body) and one of type.
	headSize = 5
)

// The errors of the protocol; what a reader returns wraps one of them, or is io.EOF between messages.
var (
	ErrTooLarge  = errors.New("message is larger than the protocol allows")
	ErrMalformed = errors.New("message is malformed")
)

// Message is one of Hello, Setup, Scene, Format, AccessUnit, Answer, Background, Encoded, Progress and Fault.
type Message interface {
	kind() byte
	// append adds the body to b, or says which bound it breaks.
	append(b []byte) ([]byte, error)
	// limit bounds the body, so that a frame is refused by its head alone.
	limit() int
}

// Writer frames messages. It is not safe for two goroutines at once.
type Writer struct {
	w   io.Writer
	buf []byte
}

// NewWriter writes to w, one Write per message.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write sends one message, or says which bound it breaks and sends nothing.
func (w *Writer) Write(m Message) error {
	b, err := m.append(append(w.buf[:0], 0, 0, 0, 0, m.kind()))
	if err != nil {
		return err
	}
	if len(b)-headSize > m.limit() {
		return fmt.Errorf("%T of %d bytes, at most %d: %w", m, len(b)-headSize, m.limit(), ErrTooLarge)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	// One large keyframe must not pin its buffer for the life of the process.
	if cap(b) <= 1<<20 {
		w.buf = b
	} else {
		w.buf = nil
	}
	_, err = w.w.Write(b)
	return err
}

// Reader takes messages apart. It is not safe for two goroutines at once.
type Reader struct {
	r    io.Reader
	head [headSize]byte
}

// NewReader reads from r, never more than the message at hand.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next returns the next message, which owns its bytes. It returns io.EOF only between messages; every
// other error leaves the stream unusable.
func (r *Reader) Next() (Message, error) {
	if _, err := io.ReadFull(r.r, r.head[:1]); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(r.r, r.head[1:]); err != nil {
		return nil, cut(err)
	}
	n := int64(binary.BigEndian.Uint32(r.head[:4])) - 1
	if n < 0 {
		return nil, fmt.Errorf("message without a type: %w", ErrMalformed)
	}
	m := blank(r.head[4])
	if m == nil {
		return nil, fmt.Errorf("message of unknown type %#x: %w", r.head[4], ErrMalformed)
	}
	if n > int64(m.limit()) {
		return nil, fmt.Errorf("%s of %d bytes, at most %d: %w", name(m), n, m.limit(), ErrTooLarge)
	}
	// The length is only a claim: memory is spent as bytes arrive.
	var body bytes.Buffer
	if n <= 64<<10 {
		body.Grow(int(n))
	}
	if _, err := io.CopyN(&body, r.r, n); err != nil {
		return nil, cut(err)
	}
	c := cursor{b: body.Bytes()}
	out, err := m.parse(&c)
	if err == nil {
		err = c.end()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name(m), err)
	}
	return out, nil
}

// cut tells an end inside a message from the orderly end between two.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parser is a message that can be read back.
type parser interface {
	Message
	parse(c *cursor) (Message, error)
}

func blank(kind byte) parser {
	for _, m := range []parser{Hello{}, Setup{}, Scene{}, Format{}, AccessUnit{}, Answer{}, Background{}, Encoded{}, Progress{}, Fault{}} {
		if m.kind() == kind {
			return m
		}
	}
	return nil
}

// name is the message's type without its package.
func name(m Message) string { return fmt.Sprintf("%T", m)[len("wire."):] }

// cursor reads a body; after a short read every further one fails, so that parsers check once.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if c.short || n < 0 || n > len(c.b) {
		c.short = true
		return nil
	}
	out := c.b[:n:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) u8() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// end demands that the body was used up and was long enough.
func (c *cursor) end() error {
	if c.short {
		return fmt.Errorf("ends too early: %w", ErrMalformed)
	}
	if len(c.b) != 0 {
		return fmt.Errorf("%d bytes too many: %w", len(c.b), ErrMalformed)
	}
	return nil
}
