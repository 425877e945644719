package rtsp

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
)

// An operator who reads "no such host" mends the url; one whose resolver is down must look elsewhere.
func TestDialCause(t *testing.T) {
	for want, cause := range map[string]error{
		"no such host": &net.DNSError{Err: "no such host", Name: "cam", IsNotFound: true},
		"its name cannot be resolved (timeout): check DNS":        &net.DNSError{Err: "i/o timeout", Name: "cam", IsTimeout: true},
		"its name cannot be resolved (resolver error): check DNS": &net.DNSError{Err: "server misbehaving", Name: "cam", Server: "192.0.2.53:53", IsTemporary: true},
		"timeout":            os.ErrDeadlineExceeded,
		"connection refused": os.NewSyscallError("connect", syscall.ECONNREFUSED),
		"strange":            errors.New("strange"),
		"cannot connect":     nil,
	} {
		if got := dialCause(&net.OpError{Op: "dial", Net: "tcp", Err: cause}); got != want {
			t.Errorf("%v is told as %q, want %q", cause, got, want)
		}
	}
}
