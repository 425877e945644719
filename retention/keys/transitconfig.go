package keys

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
)

// TransitConfig says where a transit engine is, and with which token it is asked.
type TransitConfig struct {
	Server    string // https://HOST[:PORT]
	Engine    string // where it is mounted; "transit" by default
	Key       string
	TokenFile string // empty: the environment
	CA        string // file with the authority's certificate, PEM; empty: the system's
}

// TokenVariables are where a token may be that is in no file: the first that is set counts.
const (
	baoToken   = "BAO_TOKEN"
	vaultToken = "VAULT_TOKEN"
)

// keyName is what a key or an engine may be called.
var keyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// ParseTransit reads hashivault://KEY?server=https://HOST[:PORT][&engine=NAME&token=FILE&ca=FILE]. Its errors quote no address:
// somebody may have put a token into it.
func ParseTransit(address string) (TransitConfig, error) {
	const want = "want hashivault://KEY?server=https://HOST[:PORT]&token=FILE"
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "hashivault" {
		return TransitConfig{}, errors.New("master: not the address of a key server: " + want)
	}
	if u.User != nil {
		return TransitConfig{}, errors.New("master: the address holds a login: put the token into a file of mode 0600 and name that with token=FILE")
	}
	cfg := TransitConfig{Key: u.Host, Engine: "transit"}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return TransitConfig{}, errors.New("master: options: want NAME=VALUE, joined by '&'")
	}
	for name, values := range query {
		value := values[len(values)-1]
		switch name {
		case "server":
			cfg.Server = strings.TrimSuffix(value, "/")
		case "engine":
			cfg.Engine = value
		case "token":
			cfg.TokenFile = value
		case "ca":
			cfg.CA = value
		default:
			return TransitConfig{}, fmt.Errorf("master: unknown option %q: want server, engine, token or ca", name)
		}
	}
	if !keyName.MatchString(cfg.Key) || !keyName.MatchString(cfg.Engine) || u.Path != "" {
		return TransitConfig{}, errors.New("master: the name of a key or an engine has letters, digits, '-' and '_': " + want)
	}
	if strings.HasPrefix(cfg.TokenFile, "hvs.") || strings.HasPrefix(cfg.TokenFile, "s.") {
		return TransitConfig{}, errors.New("master: the address holds a token: put it into a file of mode 0600 and name that with token=FILE")
	}
	return cfg, cfg.checkServer(want)
}

func (c TransitConfig) checkServer(want string) error {
	u, err := url.Parse(c.Server)
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("master: server: " + want)
	}
	if host := u.Hostname(); u.Scheme == "http" && host != "localhost" && host != "::1" && !strings.HasPrefix(host, "127.") {
		return fmt.Errorf("master: server %s: keys would cross the network in the clear: want https://", u.Host)
	}
	return nil
}

// String names the master key for people, without anything secret.
func (c TransitConfig) String() string {
	return fmt.Sprintf("the master key %s/%s at %s", c.Engine, c.Key, c.Server)
}

// token reads the token, and refuses a file that others may read.
func (c TransitConfig) token() (string, error) {
	if c.TokenFile == "" {
		for _, name := range []string{baoToken, vaultToken} {
			if token := strings.TrimSpace(os.Getenv(name)); token != "" {
				return token, nil
			}
		}
		return "", fmt.Errorf("%s: no token: name a file of mode 0600 with token=FILE, or set %s", c, baoToken)
	}
	st, err := os.Stat(c.TokenFile)
	if err != nil {
		return "", unreadable(c.String()+": token", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s: the token's file %s may be read by others (mode %04o): run chmod 600 %[2]s", c, c.TokenFile, st.Mode().Perm())
	}
	b, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", unreadable(c.String()+": token", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || strings.ContainsAny(token, " \n\r") {
		return "", fmt.Errorf("%s: %s: want the token alone on its first line", c, c.TokenFile)
	}
	return token, nil
}
