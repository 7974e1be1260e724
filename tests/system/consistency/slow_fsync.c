/* Delays every fsync and fdatasync by SLOW_FSYNC_S seconds while the file SLOW_FSYNC_WHILE exists (LD_PRELOAD). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void delay(void)
{
    const char *flag = getenv("SLOW_FSYNC_WHILE"), *seconds = getenv("SLOW_FSYNC_S");
    if (flag && seconds && access(flag, F_OK) == 0)
        sleep(atoi(seconds));
}

int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    delay();
    return real(fd);
}

int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    delay();
    return real(fd);
}
