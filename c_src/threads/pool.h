/* A small pool of threads. */
#ifndef PW_THREADS_POOL_H
#define PW_THREADS_POOL_H

/* Runs work(argument, number) in up to `threads` threads, the caller's included, and returns when
 * all have returned. The caller's number is 0; a worker keeps its own, from 1 on, for life. Returns
 * 0 if the hook has forked and this is the child, where the others never return. */
int pw_parallel(int threads, void (*work)(void *, int), void *argument);

#endif
