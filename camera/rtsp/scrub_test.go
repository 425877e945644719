package rtsp

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/bluenviron/gortsplib/v5/pkg/base"
	"github.com/bluenviron/gortsplib/v5/pkg/liberrors"

	"klarsyn/camera"
)

// Such an address is refused by New. Should one get in all the same, nothing that is said of it shows the login.
func TestNothingSaidShowsALogin(t *testing.T) {
	u, err := base.ParseURL("rtsp://a/user=admin&password=hunter2&channel=1.sdp?pwd=hunter2")
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{cam: camera.Camera{ID: "k1", Username: "u", Password: "s3cr?et"}, url: u, log: slog.New(slog.DiscardHandler)}
	for _, said := range []string{
		c.refusedStatus(liberrors.ErrClientBadStatusCode{Code: base.StatusNotFound}).Error(),
		c.refusedStatus(liberrors.ErrClientBadStatusCode{Code: 500, Message: "cannot open " + u.String()}).Error(),
		c.fail(ErrClosed, "said s3cr?et and s3cr%%3Fet").Error(),
		c.scrub(u.String()),
	} {
		if !strings.Contains(said, "[redacted]") {
			t.Errorf("%q shows nothing where a login stood", said)
		}
		for _, secret := range []string{"hunter2", "admin", "s3cr"} {
			if strings.Contains(said, secret) {
				t.Errorf("%q holds %s", said, secret)
			}
		}
	}
}
