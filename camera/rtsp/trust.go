package rtsp

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"

	"klarsyn/camera"
)

// errOtherCertificate says that the camera shows another certificate than the one that it is known by.
var errOtherCertificate = errors.New("another certificate")

// trust is whom a camera at rtsps:// must show itself to be: what its own certificate is, who may vouch for it,
// or, by default, that the system's authorities do.
func trust(cam camera.Camera, host string) *tls.Config {
	cfg := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	switch {
	case cam.CertificateSHA256 != "":
		want := strings.ToLower(cam.CertificateSHA256)
		// Neither its name nor who signed it matters: cameras sign for themselves. The check below takes the place
		// of the one that is switched off.
		cfg.InsecureSkipVerify = true
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			if fingerprint(s.PeerCertificates[0]) != want {
				return errOtherCertificate
			}
			return nil
		}
	case len(cam.CA) > 0:
		cfg.RootCAs = x509.NewCertPool()
		cfg.RootCAs.AppendCertsFromPEM(cam.CA) // camera.Validate has seen it
	}
	return cfg
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// untrusted explains why a certificate is not believed; nil if that is not what went wrong.
func (c *Client) untrusted(err error) *Error {
	var (
		verification *tls.CertificateVerificationError
		host         x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	if errors.Is(err, errOtherCertificate) {
		return c.fail(ErrCertificate, "shows another certificate than certificate_sha256 says: if it was given a new one, correct that; else somebody stands in for it")
	}
	if !errors.As(err, &verification) {
		return nil
	}
	mend := "name its authority's certificate in ca_file"
	if len(verification.UnverifiedCertificates) > 0 {
		mend += ", or write certificate_sha256: " + fingerprint(verification.UnverifiedCertificates[0]) + " after comparing that with the camera"
	}
	switch {
	case errors.As(err, &host):
		return c.fail(ErrCertificate, "shows a certificate that is not for %s: %s", short(c.url.Hostname()), mend)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return c.fail(ErrCertificate, "shows a certificate that is not valid now: renew it, and check the clocks")
	}
	return c.fail(ErrCertificate, "shows a certificate that nobody who is trusted has signed: %s", mend)
}
