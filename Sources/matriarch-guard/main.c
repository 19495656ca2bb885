// Set-up and the loop: one thread, which sleeps until something is asked or has ended, or a time is up.
#define _GNU_SOURCE
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define REALTIME_PRIORITY 20
#define STANDBY_POLL (200 * MILLISECOND)
#define KILL_ROUND_PAUSE (2 * MILLISECOND)
#define EXIT_USAGE 64
#define EXIT_LOCKED 75

int64_t boottime(void) {
    struct timespec time;
    clock_gettime(CLOCK_BOOTTIME, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

void say(int priority, const char *format, ...) {
    char line[512];
    int used = getenv("JOURNAL_STREAM") ? snprintf(line, sizeof line, "<%d>", priority) : 0;
    used += snprintf(line + used, sizeof line - (size_t)used, "matriarch-guard: ");
    va_list arguments;
    va_start(arguments, format);
    used += vsnprintf(line + used, sizeof line - (size_t)used, format, arguments);
    va_end(arguments);
    if (used > (int)sizeof line - 1) used = sizeof line - 1;
    line[used] = '\n';
    // A stuck stderr must not hold up a kill: then the line is lost.
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&ready, 1, 0) == 1 && write(STDERR_FILENO, line, (size_t)used + 1) < 0) return;
}

static void fence(struct guard *guard, const char *reason) {
    char event[64];
    say(4, "fence: %s (epoch %lu)", reason, (unsigned long)guard->lease.epoch);
    postgres_kill(guard);
    snprintf(event, sizeof event, "fenced reason=%s", reason);
    socket_event(guard, event);
}

void enforce(struct guard *guard) {
    struct postgres *postgres = &guard->postgres;
    int64_t now = boottime();
    if (guard->lease.epoch != 0 && now >= guard->lease.deadline) fence(guard, "deadline");
    if (postgres->pid != 0 && postgres->ending != ENDING_KILL) {
        if (postgres->ending == ENDING_STOP && now >= postgres->stop_at) fence(guard, "stop-bound");
        else if (guard->lease.epoch == 0 && !standby_signal_exists(guard)) {
            fence(guard, "standby-signal-missing");
        }
    }
    postgres_settle(guard);
    socket_answer_kills(guard);
}

/// Sets the timer to the next time at which `enforce` has something to do.
static void set_timer(struct guard *guard) {
    const struct postgres *postgres = &guard->postgres;
    int64_t now = boottime(), next = INT64_MAX;
    #define NOT_AFTER(time) if ((time) < next) next = (time)
    if (guard->lease.epoch != 0) NOT_AFTER(guard->lease.deadline);
    if (postgres->pid != 0 && guard->lease.epoch == 0) NOT_AFTER(now + STANDBY_POLL);
    if (postgres->ending == ENDING_STOP) NOT_AFTER(postgres->stop_at);
    bool killing = postgres->ending == ENDING_KILL || (postgres->pid != 0 && postgres->reaped);
    if (killing) NOT_AFTER(now + KILL_ROUND_PAUSE);
    #undef NOT_AFTER
    struct itimerspec setting = {0};
    if (next != INT64_MAX) {
        setting.it_value = (struct timespec){.tv_sec = next / SECOND, .tv_nsec = next % SECOND};
    }
    timerfd_settime(guard->timer, TFD_TIMER_ABSTIME, &setting, NULL);
}

static void drain(int fd) {
    char events[4096];
    while (read(fd, events, sizeof events) > 0) {}
}

static void take_signals(struct guard *guard) {
    struct signalfd_siginfo info;
    while (read(guard->signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD) continue;
        say(5, "signal %u: stopping Postgres (fast), then ending", info.ssi_signo);
        guard->terminating = true;
        postgres_stop(guard, SIGINT, guard->options.stop_bound);
    }
}

static void turn(struct guard *guard) {
    struct pollfd ready[4 + CONNECTION_LIMIT] = {
        {guard->timer, POLLIN, 0}, {guard->signals, POLLIN, 0}, {guard->inotify, POLLIN, 0},
        {guard->listener, POLLIN, 0}};
    int count = guard->connection_count;
    for (int i = 0; i < count; i++) {
        const struct connection *connection = &guard->connections[i];
        // Answers come in order: while a kill waits for its proof, nothing further is read.
        ready[4 + i] = (struct pollfd){connection->fd, connection->kill_answer_by == 0 ? POLLIN : 0, 0};
    }
    if (poll(ready, (nfds_t)(4 + count), -1) < 0) return;
    enforce(guard);
    drain(guard->timer);
    drain(guard->inotify);
    take_signals(guard);
    for (int i = count - 1; i >= 0; i--) {
        if (ready[4 + i].revents == 0) continue;
        enforce(guard);
        // Looked up again: enforcing may have closed some.
        for (int j = 0; j < guard->connection_count; j++) {
            if (guard->connections[j].fd != ready[4 + i].fd) continue;
            socket_receive(guard, &guard->connections[j]);
            break;
        }
    }
    if (ready[3].revents != 0) socket_accept(guard);
}

/// Asks for what makes the guard dependable; all but being the subreaper may be refused to an ordinary user.
static void harden(void) {
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) say(3, "subreaper: %s", strerror(errno)), exit(1);
    if (access("/proc/thread-self/children", R_OK) != 0) say(3, "/proc does not list children"), exit(1);
    bool locked = mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
    struct sched_param priority = {.sched_priority = REALTIME_PRIORITY};
    bool realtime = sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &priority) == 0;
    int adjust = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    bool spared = adjust >= 0 && write(adjust, "-1000", 5) == 5;
    if (adjust >= 0) close(adjust);
    prctl(PR_SET_TIMERSLACK, 1);
    static const char *const words[] = {"not permitted", "yes"};
    say(6, "memory locked: %s; real-time: %s; spared by the OOM killer: %s", words[locked], words[realtime],
        words[spared]);
}

static void set_up(struct guard *guard) {
    char lock[PATH_MAX];
    snprintf(lock, sizeof lock, "%s/guard.lock", guard->options.runtime_directory);
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) say(3, "%s: %s", lock, strerror(errno)), exit(1);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) say(3, "%s: another guard runs", lock), exit(EXIT_LOCKED);
    int ignored[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
    sigset_t taken;
    sigemptyset(&taken);
    sigaddset(&taken, SIGCHLD);
    sigaddset(&taken, SIGTERM);
    sigaddset(&taken, SIGINT);
    sigprocmask(SIG_SETMASK, &taken, NULL);
    harden();
    guard->signals = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    guard->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    guard->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (guard->signals < 0 || guard->timer < 0 || guard->inotify < 0) say(3, "%s", strerror(errno)), exit(1);
    socket_open(guard);
}

static void usage(void) {
    fputs("usage: matriarch-guard --runtime-directory DIR --data-directory DIR --postgres PROGRAM\n"
          "                       [--log FILE] [--stop-bound SECONDS] [--socket-mode OCTAL]\n", stderr);
    exit(EXIT_USAGE);
}

static struct options read_options(int count, char **arguments) {
    static const struct option known[] = {
        {"runtime-directory", required_argument, NULL, 'r'}, {"data-directory", required_argument, NULL, 'd'},
        {"postgres", required_argument, NULL, 'p'}, {"log", required_argument, NULL, 'l'},
        {"stop-bound", required_argument, NULL, 's'}, {"socket-mode", required_argument, NULL, 'm'}, {0}};
    struct options options = {.stop_bound = 60 * SECOND, .socket_mode = 0600};
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;) {
        char *end = "";
        switch (option) {
            case 'r': options.runtime_directory = optarg; break;
            case 'd': options.data_directory = optarg; break;
            case 'p': options.postgres = optarg; break;
            case 'l': options.log_file = optarg; break;
            case 's': options.stop_bound = strtol(optarg, &end, 10) * SECOND; break;
            case 'm': options.socket_mode = (mode_t)strtoul(optarg, &end, 8); break;
            default: usage();
        }
        if (*end != 0 || options.stop_bound <= 0 || options.stop_bound > 3600 * SECOND) usage();
    }
    const char *paths[] = {options.runtime_directory, options.data_directory, options.postgres};
    for (int i = 0; i < 3; i++) if (paths[i] == NULL || paths[i][0] != '/') usage();
    if (optind != count) usage();
    return options;
}

int main(int count, char **arguments) {
    struct guard guard = {.options = read_options(count, arguments)};
    set_up(&guard);
    while (!guard.terminating || guard.postgres.pid != 0) {
        enforce(&guard);
        set_timer(&guard);
        turn(&guard);
    }
    return 0;
}
