package camera

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
)

// Many recorders and cheap cameras take a login in the path or the query of an address, such as
// rtsp://h/user=admin&password=x&channel=1.sdp or rtsp://h/live?usr=admin&pwd=x. An address is printed, and
// asked for in the clear: a login does not belong there.
var (
	// login is a key of such a login. What follows it up to the next part of the address is taken for its
	// value: rather more than less.
	login = regexp.MustCompile(`(?i)([a-z]*(?:use?r(?:name|id)?|login[a-z]*|pass(?:w[a-z]+|code|phrase)?|pwd|psw)|auth[a-z]*|token|secret)=[^/?&;#\s"']+`)
	// userinfo is the login that a URL has a place for.
	userinfo = regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://)[^\s"']*@`)
)

// Redact takes out of a text what looks like the login of an address in it.
func Redact(text string) string {
	text = userinfo.ReplaceAllString(text, "${1}[redacted]@")
	return login.ReplaceAllString(text, "${1}=[redacted]")
}

// checkAddress returns the scheme of a camera's address, or says what is wrong with it. It quotes nothing of it
// that may be a login.
func checkAddress(address string) (scheme string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		// url.Error quotes its input.
		return "", errors.New("url is not a URL: want rtsp://HOST:PORT/PATH")
	}
	if u.User != nil {
		return "", errors.New("url holds credentials: move them to username and password")
	}
	if u.Scheme != "rtsp" && u.Scheme != "rtsps" {
		return "", fmt.Errorf("url scheme %q: want rtsp or rtsps", u.Scheme)
	}
	if u.Hostname() == "" {
		return "", errors.New("url has no host: want rtsp://HOST:PORT/PATH")
	}
	// Unescaped too: the camera reads a key however it is written.
	query, err := url.QueryUnescape(u.RawQuery)
	if err != nil {
		query = u.RawQuery
	}
	for _, part := range []string{u.Path, query, u.Fragment} {
		if m := login.FindStringSubmatch(part); m != nil {
			return "", fmt.Errorf("url holds a login in its path or query (%s=): leave it out and give username and password_file instead "+
				"(for --camera: rtsp://USER:PASSWORD@HOST/PATH), if the camera can take a login that way", m[1])
		}
	}
	return u.Scheme, nil
}
