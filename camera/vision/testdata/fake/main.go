// Command fake is a klarsyn-vision that does something wrong, chosen by its own file name. It drops its rights only to
// lie: the others a parent must not give a single byte of video.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"klarsyn/camera/vision/wire"
)

func main() {
	out := wire.NewWriter(os.Stdout)
	hello := wire.NewHello(wire.Mode(os.Args[1]))
	switch filepath.Base(os.Args[0]) {
	case "unsandboxed":
		_ = out.Write(hello)
		if n, _ := os.Stdin.Read(make([]byte, 1)); n > 0 {
			fmt.Fprintln(os.Stderr, "GOT A BYTE")
		}
	case "otherbuild":
		hello.Build.Protocol = "0000000000000000"
		_ = out.Write(hello)
		_, _ = os.Stdin.Read(make([]byte, 1))
	case "tells":
		names, _ := os.ReadDir("/proc/self/fd")
		var open []string
		for _, n := range names {
			to, err := os.Readlink("/proc/self/fd/" + n.Name())
			if err == nil && !strings.HasPrefix(to, "anon_inode") && !strings.HasPrefix(to, "/sys/fs/cgroup") {
				open = append(open, strings.SplitN(to, ":", 2)[0])
			}
		}
		_ = out.Write(wire.Fault{Text: fmt.Sprintf("args=%q env=%q open=%v", os.Args[1:], os.Environ(), open)})
	case "babbles":
		for range 200 {
			fmt.Fprintf(os.Stderr, "line with \x1b[31m colour %s\n", strings.Repeat("x", 5000))
		}
		os.Exit(3)
	default:
		if err := lie(filepath.Base(os.Args[0]), out, hello); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
