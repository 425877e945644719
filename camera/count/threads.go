//go:build cgo

package count

/*
#cgo pkg-config: opencv4
#cgo CXXFLAGS: --std=c++11
#include "threads.h"
*/
import "C"

import "fmt"

// SingleThread makes OpenCV run on the calling thread only. Call it once, before the drop: its thread
// pool would look into /sys, which kills after it.
func SingleThread() error {
	C.klarsyn_cv_threads(1)
	if n := int(C.klarsyn_cv_threads_now()); n != 1 {
		return fmt.Errorf("OpenCV keeps %d threads: want 1 (its parallel backend ignores cv::setNumThreads)", n)
	}
	return nil
}
