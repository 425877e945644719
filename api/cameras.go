package api

import (
	"context"
	"time"

	"klarsyn/camera"
	"klarsyn/policy"
)

type camerasOutput struct {
	Body struct {
		Cameras []cameraBody `json:"cameras"`
	}
}

type cameraBody struct {
	ID      camera.ID    `json:"id"`
	Name    string       `json:"name"`
	Zones   []zoneBody   `json:"zones"`
	MinCell int          `json:"min_cell" doc:"smallest count that a dashboard viewer sees"`
	State   string       `json:"state" enum:"recording,gap,unknown" doc:"what the recorder does now"`
	Cause   camera.Cause `json:"cause,omitempty" enum:"not-permitted,suspended,mask-failed,camera-down,our-fault,storage-full" doc:"why it does not record"`
	Since   *time.Time   `json:"since,omitempty" doc:"since when the state holds"`
}

type zoneBody struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func (s *Server) cameras(ctx context.Context, _ *struct{}) (*camerasOutput, error) {
	visible, err := s.visibleCameras(ctx, policy.ReadCameraList)
	if err != nil {
		return nil, err
	}
	out := &camerasOutput{}
	out.Body.Cameras = make([]cameraBody, 0, len(visible))
	for _, cam := range visible {
		out.Body.Cameras = append(out.Body.Cameras, describeCamera(cam, s.cfg.Now()))
	}
	return out, nil
}

func describeCamera(cam CameraInfo, now time.Time) cameraBody {
	b := cameraBody{ID: cam.ID, Name: cam.Name, MinCell: cam.minCell(now), State: "unknown", Zones: []zoneBody{}}
	for _, z := range cam.Zones {
		b.Zones = append(b.Zones, zoneBody(z))
	}
	if cam.State == nil {
		return b
	}
	switch st := cam.State(); {
	case st.Recording:
		b.State, b.Since = "recording", sinceOf(st)
	case st.Cause != "":
		b.State, b.Cause, b.Since = "gap", st.Cause, sinceOf(st)
	}
	return b
}

func sinceOf(st RecorderState) *time.Time {
	if st.Since.IsZero() {
		return nil
	}
	t := st.Since.UTC()
	return &t
}

// visibleCameras are the cameras for which the subject may do a, in configured order.
func (s *Server) visibleCameras(ctx context.Context, a policy.Action) ([]CameraInfo, error) {
	who, _ := subjectOf(ctx)
	var visible []CameraInfo
	for _, cam := range s.cfg.Cameras() {
		verdict, err := s.may(who, a, string(cam.ID))
		if err != nil {
			return nil, err
		}
		if verdict.Allowed {
			visible = append(visible, cam)
		}
	}
	return visible, nil
}

// findCamera is the camera of that id, if the subject may do a with it. A camera that does not exist
// and one that the subject may not know of give the same answer and leave the same trace.
func (s *Server) findCamera(ctx context.Context, id string, a policy.Action) (CameraInfo, error) {
	who, _ := subjectOf(ctx)
	for _, cam := range s.cfg.Cameras() {
		if string(cam.ID) != id {
			continue
		}
		verdict, err := s.may(who, a, id)
		if err != nil {
			return CameraInfo{}, err
		}
		if verdict.Allowed {
			return cam, nil
		}
	}
	object := policy.KindCamera.Of("unknown") // what was typed may be anything, and the log keeps it for years
	if _, err := camera.ParseID(id); err == nil {
		object = policy.KindCamera.Of(id)
	}
	return CameraInfo{}, s.refuse(ctx, a, object, policy.Verdict{}, errNoCamera)
}
