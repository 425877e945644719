package sim

import (
	"errors"
	"strings"
	"time"

	"github.com/bluenviron/gortsplib/v5"
	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"
)

// readyPatience is how long a client waits for a camera whose encoder has not yet given its first picture.
const readyPatience = 2 * time.Second

var errRefused = errors.New("the simulated camera refuses everybody for now")

// handler is what gortsplib calls. Its methods run on the goroutines of the connections.
type handler struct{ s *Server }

func (h *handler) OnConnClose(ctx *gortsplib.ServerHandlerOnConnCloseCtx) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	delete(h.s.conns, ctx.Conn)
}

func (h *handler) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return h.admit(ctx.Conn, ctx.Request, ctx.Path)
}

func (h *handler) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return h.admit(ctx.Conn, ctx.Request, ctx.Path)
}

func (h *handler) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnStreamWriteError is called when a reader is too slow for its queue. A real camera drops it, too.
func (h *handler) OnStreamWriteError(ctx *gortsplib.ServerHandlerOnStreamWriteErrorCtx) {
	h.s.log.Debug("reader of a simulated camera is too slow", "err", ctx.Error)
	ctx.Session.Close()
}

func (h *handler) admit(conn *gortsplib.ServerConn, req *base.Request, path string) (*base.Response, *gortsplib.ServerStream, error) {
	path = strings.Trim(path, "/")
	st := h.s.streams[path]
	if st == nil {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	if st.refuses(time.Now()) {
		// gortsplib closes a connection whose handler fails, after this answer.
		return &base.Response{StatusCode: base.StatusServiceUnavailable}, nil, errRefused
	}
	if !conn.VerifyCredentials(req, st.cam.Username, st.cam.Password) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	wait := time.NewTimer(readyPatience)
	defer wait.Stop()
	select {
	case <-st.ready:
	case <-wait.C:
		return &base.Response{StatusCode: base.StatusServiceUnavailable}, nil, nil
	case <-h.s.done:
		return &base.Response{StatusCode: base.StatusServiceUnavailable}, nil, nil
	}
	h.s.mu.Lock()
	h.s.conns[conn] = path
	h.s.mu.Unlock()
	return &base.Response{StatusCode: base.StatusOK}, st.serving, nil
}
