#ifndef KLARSYN_COUNT_THREADS_H
#define KLARSYN_COUNT_THREADS_H

#ifdef __cplusplus
extern "C" {
#endif

/* gocv 0.31 binds neither cv::setNumThreads nor cv::getNumThreads. */
void klarsyn_cv_threads(int n);
int klarsyn_cv_threads_now(void);

#ifdef __cplusplus
}
#endif

#endif
