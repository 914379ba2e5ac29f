/*
 * One descriptor in reserve, for what must be opened though there is none left:
 * a pid file, /proc, one end of a FIFO. Without it a process would be lost.
 */
#ifndef PODSHIM_KEEPER_SPARE_H
#define PODSHIM_KEEPER_SPARE_H

/* Put it by, if it is not. Whoever has closed something calls this. */
void spare_fill(void);
/* openat(), with the spare one's place if that is what it takes. As openat(). */
int spare_openat(int dir_fd, const char *path, int flags);

#endif
