//go:build cgo

#include "threads.h"

#include <opencv2/core/utility.hpp>

void klarsyn_cv_threads(int n) { cv::setNumThreads(n); }
int klarsyn_cv_threads_now(void) { return cv::getNumThreads(); }
