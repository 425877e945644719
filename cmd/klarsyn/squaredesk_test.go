package main

import (
	"strings"
	"testing"
)

// Who describes the square from another machine chooses no file on this one: the recorder sends the first line of a password
// file to where the camera is said to be.
func TestFilesThatSomebodyElsewhereMayName(t *testing.T) {
	held := &holding{Declaration: Declaration{Cameras: []cameraConfig{{ID: "k1", PasswordFile: "/etc/klarsyn/k1.password"}}}}
	for text, refused := range map[string]bool{
		"password_file: /etc/klarsyn/k1.password": false, // it was so before
		"password_file: /etc/klarsyn/k2.password": true,
		"password_file: cameras/k1":               false,
		"password_file: cameras/../audit/key":     true,
		"password_file: cameras/deep/k1":          true,
		"password_file: ../cameras/k1":            true,
		"password_file: audit/audit.key":          true,
		"ca_file: master/master.key":              true,
		"ca_file: cameras/ca.crt":                 false,
		"profile: square.yaml":                    true,
	} {
		d, err := readDeclaration("x", []byte("cameras:\n  - id: k1\n    url: rtsps://192.0.2.1/s\n    "+text+"\n"))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		err = filesFromAfar(&planned{next: &holding{Declaration: d.Declaration}, place: d.place}, held)
		if (err != nil) != refused || err != nil && !strings.Contains(err.Error(), "x:4:") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A few names that stand for one another would multiply into more than a machine holds.
func TestNamesThatMultiply(t *testing.T) {
	for _, text := range []string{
		"cameras:\n  - &a {id: k1, url: 'rtsp://192.0.2.1/s'}\n  - *a\n",
		"groups: &g []\nusers: *g\n",
		"permits:\n  - <<: {id: a}\n",
	} {
		if _, err := readDeclaration("x", []byte(text)); err == nil || !strings.Contains(err.Error(), "write out what is meant") || !strings.Contains(err.Error(), "x:") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
