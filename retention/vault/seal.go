package vault

import (
	"bytes"
	"fmt"
	"io"

	"filippo.io/age"
)

// The shape of an age payload: a nonce, then chunks, each with its authentication tag.
const (
	nonceSize   = 16
	chunkSize   = 64 << 10
	sealedChunk = chunkSize + 16
)

// seal encrypts to recipient and writes everything but the header to dst, beginning with its first
// Write or Close. The header is returned apart: without it nobody can open what dst holds.
func seal(recipient string, dst io.Writer) (header []byte, w io.WriteCloser, err error) {
	r, err := age.ParseHybridRecipient(recipient)
	if err != nil {
		return nil, nil, fmt.Errorf("the day key's recipient is damaged: %w", err)
	}
	front := &frontBuffer{dst: dst}
	stream, err := age.Encrypt(front, r)
	if err != nil {
		return nil, nil, fmt.Errorf("sealing: %w", err)
	}
	header, err = age.ExtractHeader(bytes.NewReader(front.held))
	if err != nil {
		return nil, nil, fmt.Errorf("sealing: %w", err)
	}
	front.held = bytes.Clone(front.held[len(header):])
	return header, &sealWriter{front: front, stream: stream}, nil
}

// frontBuffer holds back what age writes before the first byte of footage, until release.
type frontBuffer struct {
	dst      io.Writer
	held     []byte
	released bool
}

func (f *frontBuffer) Write(p []byte) (int, error) {
	if !f.released {
		f.held = append(f.held, p...)
		return len(p), nil
	}
	return f.dst.Write(p)
}

func (f *frontBuffer) release() error {
	if f.released {
		return nil
	}
	f.released = true
	_, err := f.dst.Write(f.held)
	return err
}

type sealWriter struct {
	front  *frontBuffer
	stream io.WriteCloser
}

func (s *sealWriter) Write(p []byte) (int, error) {
	if err := s.front.release(); err != nil {
		return 0, err
	}
	return s.stream.Write(p)
}

func (s *sealWriter) Close() error {
	if err := s.front.release(); err != nil {
		return err
	}
	return s.stream.Close()
}

// sealedSize is how long the payload of plain bytes is: an empty one has an empty chunk.
func sealedSize(plain int64) int64 {
	chunks := max(1, (plain+chunkSize-1)/chunkSize)
	return nonceSize + plain + chunks*(sealedChunk-chunkSize)
}

// wholeChunks is how much of a cut-off payload of sealed bytes can be opened: the length to keep, and
// how many bytes of footage it holds.
func wholeChunks(sealed int64) (keep, plain int64) {
	if sealed < nonceSize {
		return 0, 0
	}
	n := (sealed - nonceSize) / sealedChunk
	return nonceSize + n*sealedChunk, n * chunkSize
}
