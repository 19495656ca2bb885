// The one place where Swift meets what it cannot say itself: calls that glibc hides behind _GNU_SOURCE,
// macros, and everything that runs between fork and exec.
#pragma once

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>

/// Like accept4 with SOCK_NONBLOCK | SOCK_CLOEXEC.
int clinux_accept(int listener, struct sockaddr *address, socklen_t *length);
/// A close-on-exec pipe; `ends[0]` reads.
int clinux_pipe(int ends[2]);
int clinux_pidfd_open(pid_t pid);
int clinux_pidfd_send_signal(int pidfd, int signal_number);
/// Who is at the other end of a unix socket, as it was when the connection was made.
int clinux_peer_credentials(int fd, pid_t *pid, uid_t *uid, gid_t *gid);
/// Major and minor numbers of a device, as /proc/locks prints them.
unsigned clinux_device_major(dev_t device);
unsigned clinux_device_minor(dev_t device);

/// Names the calling thread (15 bytes at most are kept).
void clinux_name_thread(const char *name);
/// Gives the calling thread SCHED_RR at `priority`, not inherited by its children. -1 and errno when not
/// allowed.
int clinux_realtime_thread(int priority);
/// pthread_create with every signal blocked in the new thread; returns an errno value or 0.
int clinux_start_thread(pthread_t *thread, size_t stack_bytes, void *(*body)(void *), void *argument);
/// A number that names the calling thread while it lives.
pid_t clinux_thread_id(void);

/// What to run; see `clinux_spawn`. Descriptors: -1 is /dev/null.
struct clinux_command {
    const char *executable;
    char *const *arguments;
    char *const *environment;
    const char *directory;
    int standard_input, standard_output, standard_error;
    int death_signal;
    bool detached;
};

/// The step at which a spawn failed, to be told with its errno.
enum clinux_spawn_step {
    clinux_spawn_ok, clinux_spawn_fork, clinux_spawn_directory, clinux_spawn_descriptors,
    clinux_spawn_parent_gone, clinux_spawn_exec,
};

/// Starts `command` in a process group of its own (a session of its own when detached), with default signal
/// handlers, an empty mask and no descriptor above 2. Returns clinux_spawn_ok once the program really runs,
/// else the failing step with errno set and no child left behind. `pidfd` is -1 when a detached program has
/// ended before it could be opened. The death signal follows the forking *thread*, not the process.
enum clinux_spawn_step clinux_spawn(const struct clinux_command *command, pid_t *pid, int *pidfd);

/// waitid on a pidfd without blocking. 1: ended (`code`: exit status, or minus the signal), 0: runs,
/// -1: errno.
int clinux_reap(int pidfd, int *code);
