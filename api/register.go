package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
)

// registerAPI registers what /openapi.json describes. Who may call it stands in accessTable.
func (s *Server) registerAPI(h huma.API) {
	add(s, h, op("POST", "/api/v1/login", "login", "Log in", 422, 429, 503).open().says(
		"Sets the session cookie (HttpOnly, SameSite=Strict, 15 minutes idle, 8 hours at most)."), s.login)
	add(s, h, op("POST", "/api/v1/logout", "logout", "Log out", 503), s.logout)
	add(s, h, op("GET", "/api/v1/me", "me", "Who am I"), s.me)
	add(s, h, op("GET", "/api/v1/cameras", "cameras", "Cameras that you may know of", 503), s.cameras)
	add(s, h, op("GET", "/api/v1/clips", "clips", "Find clips of a camera", 404, 422, 429, 503).says(
		"Oldest first. A camera that you may not search does not exist: 404."), s.clips)
	add(s, h, op("GET", "/api/v1/clips/{id}", "clip", "One clip", 404, 429, 503), s.clip)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		addRaw(h, op(method, "/api/v1/clips/{id}/media", "media-"+method, "The footage of a clip",
			403, 404, 409, 410, 416, 422, 429, 500, 503).says(
			"Fragmented MP4, one byte range at most. State purpose and case as headers, so that they stand in no address; "+
				"the query parameters are for tools that cannot. Every look is logged before its first byte. "+
				"409: still being recorded. 410: deleted, past its deadline, or nothing was kept. 500 with type …:damaged: "+
				"the stored bytes are not what was recorded. An answer that breaks off was cut off: it is not the clip's end."),
			&mediaInput{}, s.media)
	}
	add(s, h, op("POST", "/api/v1/holds", "hold", "Hold clips beyond their deadline, for a case", 404, 410, 422, 429, 503).says(
		"Clips by id, or a stretch of a camera's time. Of a clip that is only partly within the stretch the part is cut out into the case, and the rest expires. "+
			"201: held; refused names what could not be, such as clips that were claimed for deletion before. 410: nothing could be held."), s.placeHold)
	add(s, h, op("GET", "/api/v1/holds", "holds", "Holds, newest first", 403, 422, 429, 503), s.holds)
	add(s, h, op("GET", "/api/v1/holds/{id}", "one-hold", "One hold, with what it keeps", 403, 404, 429, 503), s.oneHold)
	add(s, h, op("POST", "/api/v1/holds/{id}/lift", "lift-hold", "Lift a hold", 403, 404, 409, 422, 429, 503).says(
		"Two people: the first says why (202), another one agrees (200). What no other hold keeps and whose deadline has passed is unreadable from that instant on."), s.liftHold)
	add(s, h, op("POST", "/api/v1/holds/{id}/extend", "extend-hold", "Set when a hold is looked at again", 403, 404, 409, 422, 429, 503), s.extendHold)
	add(s, h, op("GET", "/api/v1/occupancy", "occupancy", "Counts over time", 404, 422, 429, 503).says(
		"Numbers are null unless quality is ok: unknown is never zero. A dashboard viewer gets no number below the "+
			"smallest cell, zero included: suppressed is true and below says the limit."), s.occupancy)
	add(s, h, op("GET", pollRoute, "latest-occupancy", "Counts now", 503).says(
		"One sample per camera and zone. stale: older than two minutes."), s.latest)
	add(s, h, op("GET", "/api/v1/deletions", "deletions", "Proofs of deletion", 403, 404, 422, 429, 503), s.deletions)
	add(s, h, op("GET", "/api/v1/clips/{id}/deletion-proof", "deletion-proof", "The proof that a clip was deleted", 403, 404, 409, 429, 503).file("application/json").says(
		"A file that klarsyn verify deletion takes, offline and with the log's public key alone: the tombstone, the entries of the log that say so, "+
			"their way to a signed checkpoint. That it is asked for is logged. 409: the clip is not deleted; detail says where it stands. "+
			"503 with Retry-After: the log has not numbered the deletion yet."), s.deletionProof)
	add(s, h, op("GET", "/api/v1/audit", "audit", "The audit log, newest first", 403, 422, 429, 503).says(
		"Reading the log is itself logged, before anything is shown."), s.audit)
	add(s, h, op("GET", "/api/v1/cameras/{id}/timeline", "timeline", "The cause of every second of a camera", 404, 422, 429, 503).says(
		"Contiguous intervals that tile [from, to): each has one cause. At most 32 days at once."), s.timeline)
	add(s, h, op("GET", "/api/v1/permits", "permits", "Permit versions with what became of them", 403, 429, 503), s.permits)
	add(s, h, op("GET", "/api/v1/permits/explain", "explain", "Would a camera record at a time, and why", 403, 422, 429, 503), s.explain)
	add(s, h, op("POST", "/api/v1/permits/simulate", "simulate", "What a description of the square would change", 400, 403, 409, 413, 422, 429, 503).large().says(
		"A try of anything, for who decides about permits. A try of what you may change is POST /api/v1/square?dry_run=true."), s.simulate)
	add(s, h, op("GET", "/api/v1/register", "register", "The register (förteckning, KBL 10 §)", 403, 429, 503).says(
		"The five mandated items and the history, until five years after the end. That it is made is logged."), s.registerJSON)
	add(s, h, op("GET", "/api/v1/square", "square", "What holds of the square", 403, 429, 503).yaml().says(
		"A description that POST takes, with the addresses of cameras: for those who may change some of it."), s.document)
	add(s, h, op("POST", "/api/v1/square", "apply", "Put a description of the square in force", 400, 403, 409, 413, 422, 429, 503).large().says(
		"YAML, as klarsyn apply takes it. Permits and groups are for compliance officers, cameras for operators; accounts are changed on the machine itself. "+
			"All of it is changed, in one transaction, or nothing."), s.applySquare)
	add(s, h, op("GET", "/healthz", "healthz", "Is the process alive").open(), s.healthz)
	add(s, h, op("GET", "/readyz", "readyz", "Can it serve", 503).open(), s.readyz)
}

// registerPlain registers what a description would not help: the page, its files, metrics, and the log as tiles,
// which C2SP describes.
func (s *Server) registerPlain() {
	s.engine.GET("/openapi.json", func(c *gin.Context) {
		c.Header("Cache-Control", "no-cache")
		c.Data(http.StatusOK, "application/openapi+json", s.openapi)
	})
	s.engine.GET("/metrics", s.metrics)
	s.engine.GET("/", s.showSquare)
	s.engine.POST("/login", s.submitLogin)
	s.engine.POST("/logout", s.submitLogout)
	s.engine.GET("/clips/:id", s.showClip)
	s.engine.POST("/clips/:id/look", s.submitLook)
	s.engine.GET("/assets/:file", s.asset)
	s.engine.GET("/log", s.showLog)
	s.engine.GET("/register", s.showRegister)
	s.engine.GET("/register.csv", s.registerCSV)
	s.engine.GET("/log/checkpoint", s.newestCheckpoint)
	s.engine.GET("/log/rotations", s.keyRotations)
	s.engine.GET("/log/tile/*name", s.tile)
	s.engine.POST("/log/cosignatures", s.cosign)
}

// operation is a huma operation under construction.
type operation struct{ huma.Operation }

func op(method, path, id, summary string, errs ...int) operation {
	return operation{huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary,
		Errors: append([]int{401}, errs...), MaxBodyBytes: maxBodyBytes,
		Security: []map[string][]string{{"session": {}}, {"bearer": {}}},
	}}
}

func (o operation) says(text string) operation { o.Description = text; return o }

// large says that the body may be a description of a square.
func (o operation) large() operation { o.MaxBodyBytes = maxDescription + 1; return o }

// yaml says that the answer is a description of a square.
func (o operation) yaml() operation {
	o.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{descriptionMedia: {Schema: &huma.Schema{Type: "string"}}}}}
	return o
}

// file says that the answer is a file, kept byte by byte.
func (o operation) file(media string) operation {
	o.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{media: {}}}}
	return o
}

// open says that no session is needed.
func (o operation) open() operation { o.Security = []map[string][]string{}; return o }

// add registers a handler whose errors become problems.
func add[I, O any](s *Server, h huma.API, o operation, f func(context.Context, *I) (*O, error)) {
	huma.Register(h, o.Operation, func(ctx context.Context, in *I) (*O, error) {
		out, err := f(ctx, in)
		if err != nil {
			p := problemFor(err)
			s.logProblem(ctx, p)
			return nil, p
		}
		return out, nil
	})
}

// addRaw registers a handler that writes its own response, after huma has checked the parameters.
func addRaw[I any](h huma.API, o operation, _ *I, f func(*gin.Context)) {
	o.Responses = map[string]*huma.Response{
		"200": {Description: "the whole clip", Content: map[string]*huma.MediaType{footageMedia: {}}},
		"206": {Description: "the range asked for", Content: map[string]*huma.MediaType{footageMedia: {}}},
	}
	huma.Register(h, o.Operation, func(context.Context, *I) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(ctx huma.Context) { f(humagin.Unwrap(ctx)) }}, nil
	})
}

// describeAll fixes the description in place and encodes it once. huma documents its own error type,
// which no client ever sees here: every error is described as the Problem that it is.
func describeAll(h huma.API) ([]byte, error) {
	doc := h.OpenAPI()
	schema := doc.Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	for _, item := range doc.Paths {
		for _, o := range []*huma.Operation{item.Get, item.Head, item.Post} {
			if o == nil {
				continue
			}
			for _, r := range o.Responses {
				if m, ok := r.Content[problemMedia]; ok {
					m.Schema = schema
				}
			}
		}
	}
	delete(doc.Components.Schemas.Map(), "ErrorModel")
	delete(doc.Components.Schemas.Map(), "ErrorDetail")
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("api: describing the interface: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, fmt.Errorf("api: describing the interface: %w", err)
	}
	return out.Bytes(), nil
}
