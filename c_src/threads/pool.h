/* A small pool of threads. */
#ifndef PW_THREADS_POOL_H
#define PW_THREADS_POOL_H

/* Runs work(argument, number) in up to `threads` threads, the caller's included; returns when all
 * have returned. The caller's number is 0; a worker keeps its own, from 1 on, for life. 0: the hook
 * has forked, and this is the child, where the others have not returned and never will. */
int pw_parallel(int threads, void (*work)(void *, int), void *argument);

#endif
