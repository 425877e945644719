package camera_test

import (
	"strings"
	"testing"

	"klarsyn/camera"
)

// A login in the path or the query of an address is refused, however cameras spell it, and without showing it.
func TestLoginInAnAddress(t *testing.T) {
	for address, key := range map[string]string{
		"rtsp://h/user=admin&password=hunter2&channel=1&stream=0.sdp": "user",
		"rtsp://h/user=admin_password=hunter2_channel=1_stream=0.sdp": "user",
		"rtsp://h/password=hunter2":                                   "password",
		"rtsp://h:8554/live/ch0?user=admin&pwd=hunter2":               "user",
		"rtsp://h/cam?channel=1&PWD=hunter2":                          "PWD",
		"rtsp://h/11?loginuse=admin&loginpas=hunter2":                 "loginuse",
		"rtsp://h/11?usr=hunter2":                                     "usr",
		"rtsp://h/11?channel=1&passwd=hunter2":                        "passwd",
		"rtsp://h/11?p%61ssword=hunter2":                              "password",
		"rtsp://h/p%61ssword=hunter2":                                 "password",
		"rtsp://h/11?auth=aHVudGVyMg==hunter2":                        "auth",
		"rtsp://h/11?token=hunter2":                                   "token",
		"rtsp://h/11;password=hunter2":                                "password",
	} {
		err := camera.Camera{ID: "k1", URL: address}.Validate()
		if err == nil || !strings.Contains(err.Error(), "("+key+"=)") || !strings.Contains(err.Error(), "username and password_file") {
			t.Errorf("%s: %v", address, err)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "admin")) {
			t.Errorf("%s: the error shows the login: %v", address, err)
		}
	}
	for _, address := range []string{
		"rtsp://h/stream1", "rtsp://h/cam/realmonitor?channel=1&subtype=0", "rtsp://h/Streaming/Channels/101?transportmode=unicast&profile=Profile_1",
		"rtsp://h/axis-media/media.amp?videocodec=h264&resolution=640x480", "rtsp://h/user/stream", "rtsp://h/onvif/profile2/media.smp", "rtsp://h/live?user=",
	} {
		if err := (camera.Camera{ID: "k1", URL: address}).Validate(); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// What is printed of an address shows where a login stood, and not the login.
func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"no stream at /user=admin&password=hunter2&channel=1.sdp: check": "no stream at /user=[redacted]&password=[redacted]&channel=1.sdp: check",
		"/user=admin_password=hunter2_channel=1.sdp/x":                   "/user=[redacted]/x",
		"rtsp://h/live?usr=admin&pwd=hunter2#1":                          "rtsp://h/live?usr=[redacted]&pwd=[redacted]#1",
		"url: rtsp://admin:hun/ter2@h:554/s\nid: k1":                     "url: rtsp://[redacted]@h:554/s\nid: k1",
		`"rtsp://h/?loginpas=hunter2", retry`:                            `"rtsp://h/?loginpas=[redacted]", retry`,
		"rtsp://h/cam/realmonitor?channel=1&subtype=0":                   "rtsp://h/cam/realmonitor?channel=1&subtype=0",
		"username: klarsyn":                                              "username: klarsyn",
		"":                                                               "",
	} {
		if got := camera.Redact(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
