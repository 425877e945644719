package api

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"klarsyn/retention"
)

const (
	// stallTimeout is how long a client may take for one piece of footage before it is cut off.
	stallTimeout = 20 * time.Second
	extendEvery  = time.Second
)

// footageWriter stands between http.ServeContent and the client. ServeContent sends the status before
// it reads the first byte and swallows what goes wrong afterwards; here the status waits for the first
// byte, so that damage found at once is still a problem and not a broken 200.
type footageWriter struct {
	w        http.ResponseWriter
	head     bool
	control  *http.ResponseController
	status   int
	started  bool
	sent     int64
	extended time.Time
	err      error // of the first write that failed
}

func newFootageWriter(w http.ResponseWriter, method string) *footageWriter {
	return &footageWriter{w: w, head: method == http.MethodHead, control: http.NewResponseController(w)}
}

func (f *footageWriter) Header() http.Header { return f.w.Header() }

func (f *footageWriter) WriteHeader(status int) {
	if f.status == 0 {
		f.status = status
	}
}

func (f *footageWriter) Write(b []byte) (int, error) {
	if f.status == 0 {
		f.status = http.StatusOK
	}
	if f.status >= 400 {
		return len(b), nil // ServeContent's own plain text; finish sends a problem instead
	}
	if f.err != nil {
		return 0, f.err
	}
	if now := time.Now(); now.Sub(f.extended) >= extendEvery {
		f.extended = now
		if err := f.control.SetWriteDeadline(now.Add(stallTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			f.err = err
			return 0, err
		}
	}
	f.start()
	n, err := f.w.Write(b)
	f.sent += int64(n)
	f.err = err
	return n, err
}

func (f *footageWriter) start() {
	if !f.started {
		f.started = true
		f.w.WriteHeader(f.status)
	}
}

// finish ends the response after ServeContent returned; readErr is what reading the footage met. An
// error before the first byte is returned, to become a problem; after it the connection is cut, since
// a clean end would pass off a part as the whole.
func (f *footageWriter) finish(readErr error) error {
	if f.status >= 400 && readErr == nil {
		readErr = errUnsatisfied
		if f.status == http.StatusPreconditionFailed {
			readErr = newProblem(f.status, "precondition", "Precondition failed", "The clip is not the one that If-Match names.")
		}
	}
	if readErr == nil && f.short() {
		readErr = retention.ErrDamaged
	}
	switch {
	case f.started && (readErr != nil || f.err != nil):
		panic(http.ErrAbortHandler)
	case readErr != nil:
		f.dropHeaders()
		return readErr
	case f.err != nil:
		panic(http.ErrAbortHandler)
	}
	f.start() // HEAD, 304, or a clip of no bytes
	return nil
}

// short reports whether the footage ended before the length that was announced.
func (f *footageWriter) short() bool {
	announced, err := strconv.ParseInt(f.w.Header().Get("Content-Length"), 10, 64)
	return err == nil && !f.head && f.sent < announced
}

// dropHeaders removes what described footage that will not come.
func (f *footageWriter) dropHeaders() {
	h := f.w.Header()
	for _, k := range []string{"Content-Length", "Content-Disposition", "Accept-Ranges", "Etag"} {
		h.Del(k)
	}
	if f.status != http.StatusRequestedRangeNotSatisfiable {
		h.Del("Content-Range")
	}
}

// watchedReader keeps the error that ServeContent swallows.
type watchedReader struct {
	io.ReadSeeker
	err error
}

func (r *watchedReader) Read(b []byte) (int, error) {
	n, err := r.ReadSeeker.Read(b)
	if err != nil && !errors.Is(err, io.EOF) && r.err == nil {
		r.err = err
	}
	return n, err
}

func (r *watchedReader) Seek(offset int64, whence int) (int64, error) {
	n, err := r.ReadSeeker.Seek(offset, whence)
	if err != nil && r.err == nil {
		r.err = err
	}
	return n, err
}
