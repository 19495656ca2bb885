// Everything between fork and exec. The forking process has other threads, so the child may only make
// async-signal-safe calls until it execs: no malloc, no stdio, no Swift.
#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// What the child tells through the pipe that closes on exec: how far it came, or the pid of the detached one.
struct report {
    int step;
    int value;
};

static void tell(int fd, int step, int value) {
    struct report report = {step, value};
    // The parent reads at least this much before it goes on; nothing can be done here if it died meanwhile.
    if (write(fd, &report, sizeof report) != sizeof report) _exit(127);
}

static void fail(int fd, enum clinux_spawn_step step) {
    tell(fd, step, errno);
    _exit(127);
}

// Puts `wanted` (or /dev/null) in place of 0, 1 or 2. The sources were moved above 2 beforehand.
static int place(int wanted, int target) {
    if (wanted >= 0) return dup2(wanted, target);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || null == target) return null < 0 ? -1 : fcntl(null, F_SETFD, 0);
    return dup2(null, target);
}

static int above_standard(int fd) { return fd < 0 || fd > 2 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3); }

static void reset_signals(void) {
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) sigaction(number, &standard, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void become(const struct clinux_command *command, int reports, pid_t parent) {
    if (command->death_signal != 0) {
        prctl(PR_SET_PDEATHSIG, command->death_signal);
        // A parent that died before prctl would never be noticed.
        if (getppid() != parent) fail(reports, clinux_spawn_parent_gone);
    }
    if (command->directory != NULL && chdir(command->directory) != 0) fail(reports, clinux_spawn_directory);
    int in = above_standard(command->standard_input), out = above_standard(command->standard_output),
        err = above_standard(command->standard_error);
    if (place(in, 0) < 0 || place(out, 1) < 0 || place(err, 2) < 0) fail(reports, clinux_spawn_descriptors);
    if (syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) fail(reports, clinux_spawn_descriptors);
    reset_signals();
    execve(command->executable, command->arguments, command->environment);
    fail(reports, clinux_spawn_exec);
}

static void child(const struct clinux_command *command, int reports, pid_t parent) {
    if (!command->detached) {
        setpgid(0, 0);
        become(command, reports, parent);
    }
    setsid();
    pid_t grandchild = fork();
    if (grandchild < 0) fail(reports, clinux_spawn_fork);
    if (grandchild == 0) {
        setpgid(0, 0);
        become(command, reports, parent);
    }
    tell(reports, clinux_spawn_ok, grandchild);
    _exit(0);
}

static ssize_t receive(int fd, struct report *report) {
    ssize_t count;
    do count = read(fd, report, sizeof *report);
    while (count < 0 && errno == EINTR);
    return count;
}

static void reap(pid_t pid) {
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
}

enum clinux_spawn_step clinux_spawn(const struct clinux_command *command, pid_t *pid, int *pidfd) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return clinux_spawn_descriptors;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid(), forked = fork();
    if (forked == 0) child(command, ends[1], parent);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    enum clinux_spawn_step step = forked < 0 ? clinux_spawn_fork : clinux_spawn_ok;
    *pid = forked;
    struct report report;
    while (forked > 0 && receive(ends[0], &report) == sizeof report) {
        if (report.step == clinux_spawn_ok) *pid = report.value;
        if (report.step != clinux_spawn_ok) step = report.step, error = report.value;
    }
    close(ends[0]);
    if (forked > 0 && (command->detached || step != clinux_spawn_ok)) reap(forked);
    *pidfd = step == clinux_spawn_ok ? clinux_pidfd_open(*pid) : -1;
    errno = error;
    return step;
}
