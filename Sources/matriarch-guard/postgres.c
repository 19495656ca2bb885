// Starting Postgres, and ending it so that nothing of it is left.
#define _GNU_SOURCE
#include "guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void data_path(const struct guard *guard, const char *name, char path[static PATH_MAX]) {
    snprintf(path, PATH_MAX, "%s/%s", guard->options.data_directory, name);
}

static bool data_file_exists(const struct guard *guard, const char *name) {
    char path[PATH_MAX];
    data_path(guard, name, path);
    return access(path, F_OK) == 0;
}

bool standby_signal_exists(const struct guard *guard) { return data_file_exists(guard, "standby.signal"); }

bool postgres_is_standby(const struct guard *guard) {
    struct stat status;
    // Promotion unlinks the file before the first write; one made anew since then has another inode.
    return guard->postgres.as_standby && standby_signal_exists(guard) && !data_file_exists(guard, "promote")
        && fstat(guard->postgres.signal_fd, &status) == 0 && status.st_nlink > 0;
}

/// State letter and start time of a process from /proc/PID/stat.
static char process_stat(pid_t pid, uint64_t *start_ticks) {
    char path[64], text[1024], state = '?';
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    *start_ticks = 0;
    if (count <= 0) return state;
    text[count] = 0;
    // The command in the second field may hold anything; it ends at the last parenthesis.
    char *rest = strrchr(text, ')');
    if (rest == NULL || rest[1] == 0) return state;
    state = rest[2];
    for (int field = 2; rest != NULL && field < 22; field++) rest = strchr(rest + 1, ' ');
    if (rest != NULL) *start_ticks = strtoull(rest + 1, NULL, 10);
    return state;
}

/// The pid of a Postgres in our data directory that is not ours; 0 when there is none.
static pid_t find_foreign(const struct guard *guard) {
    struct stat data, working;
    if (stat(guard->options.data_directory, &data) != 0) return 0;
    DIR *processes = opendir("/proc");
    if (processes == NULL) return 0;
    pid_t found = 0;
    for (struct dirent *entry; found == 0 && (entry = readdir(processes)) != NULL;) {
        char path[64], program[PATH_MAX];
        pid_t pid = atoi(entry->d_name);
        if (pid <= 0) continue;
        snprintf(path, sizeof path, "/proc/%d/cwd", pid);
        if (stat(path, &working) != 0) continue;
        if (working.st_dev != data.st_dev || working.st_ino != data.st_ino) continue;
        snprintf(path, sizeof path, "/proc/%d/exe", pid);
        ssize_t length = readlink(path, program, sizeof program - 1);
        program[length < 0 ? 0 : length] = 0;
        const char *name = strrchr(program, '/');
        if (name != NULL && strncmp(name, "/postgres", 9) == 0) found = pid;
    }
    closedir(processes);
    return found;
}

/// Locks the data directory itself, as everybody does who changes it.
static refusal lock_data_directory(struct guard *guard) {
    static char foreign[64];
    int fd = open(guard->options.data_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return "data-directory it cannot be opened";
    bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
    refusal why = locked ? NULL : "locked another process holds the data directory";
    pid_t pid = why == NULL ? find_foreign(guard) : 0;
    if (pid != 0) {
        snprintf(foreign, sizeof foreign, "foreign process %d is no Postgres of this guard", pid);
        why = foreign;
    }
    if (why != NULL) close(fd);
    else guard->postgres.lock_fd = fd;
    return why;
}

/// Runs in the child. Postgres gets normal signals and standing before the OOM killer, and dies with us.
static void become_postgres(const struct guard *guard, pid_t parent, char **fields, int count) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    setsid();
    sigset_t none;
    sigemptyset(&none);
    for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    const char *arguments[count + 4];
    int used = 0;
    arguments[used++] = guard->options.postgres;
    arguments[used++] = "-D";
    arguments[used++] = guard->options.data_directory;
    for (int i = 0; i < count; i++) {
        if (fields[i][0] == 'e') putenv(fields[i] + 1);
        else arguments[used++] = fields[i] + 1;
    }
    arguments[used] = NULL;
    // With PG_OOM_ADJUST_FILE the postmaster keeps our protection and its children give it up themselves.
    int adjust = getenv("PG_OOM_ADJUST_FILE") ? -1 : open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (adjust >= 0 && write(adjust, "0", 1) != 1) say(4, "oom_score_adj of Postgres: %s", strerror(errno));
    if (guard->options.log_file != NULL) {
        int log = open(guard->options.log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log < 0) say(3, "%s: %s", guard->options.log_file, strerror(errno)), _exit(127);
        dup2(log, STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
    }
    execv(guard->options.postgres, (char **)arguments);
    say(3, "%s: %s", guard->options.postgres, strerror(errno));
    _exit(127);
}

refusal postgres_start(struct guard *guard, bool standby, char **fields, int count) {
    struct postgres *postgres = &guard->postgres;
    if (postgres->pid != 0) return "running Postgres runs already";
    if (guard->terminating) return "terminating the guard is about to end";
    if (access(guard->options.postgres, X_OK) != 0) return "program Postgres cannot be executed";
    if (standby && !standby_signal_exists(guard)) return "standby-signal standby.signal is missing";
    if (!standby && guard->lease.epoch == 0) return "unarmed a primary needs an armed epoch";
    if (!standby && standby_signal_exists(guard)) return "standby-signal standby.signal is there";
    refusal why = lock_data_directory(guard);
    if (why != NULL) return why;
    char path[PATH_MAX];
    data_path(guard, "standby.signal", path);
    int signal_fd = standby ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (standby) inotify_add_watch(guard->inotify, path, IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) become_postgres(guard, parent, fields, count);
    if (pid < 0) {
        close(postgres->lock_fd);
        if (signal_fd >= 0) close(signal_fd);
        return "fork no process can be made";
    }
    *postgres = (struct postgres){
        .pid = pid, .as_standby = standby, .signal_fd = signal_fd, .lock_fd = postgres->lock_fd};
    process_stat(pid, &postgres->start_ticks);
    say(5, "started Postgres %d as %s", pid, standby ? "standby" : "primary");
    return NULL;
}

void postgres_stop(struct guard *guard, int signal_number, int64_t bound) {
    struct postgres *postgres = &guard->postgres;
    if (postgres->pid == 0 || postgres->ending == ENDING_KILL) return;
    int64_t stop_at = boottime() + bound;
    // A second stop may shorten the first, never prolong it.
    if (postgres->ending == ENDING_NONE || stop_at < postgres->stop_at) postgres->stop_at = stop_at;
    postgres->ending = ENDING_STOP;
    if (!postgres->reaped) kill(postgres->pid, signal_number);
}

/// Calls `act` with every child of `parent`. One that comes or goes meanwhile may be missed: look again.
static void each_child(pid_t parent, void (*act)(pid_t child)) {
    char path[64], chunk[4096];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", parent, parent);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    pid_t child = 0;
    for (ssize_t count; (count = read(fd, chunk, sizeof chunk)) > 0;) {
        for (ssize_t i = 0; i < count; i++) {
            if (chunk[i] >= '0' && chunk[i] <= '9') {
                child = child * 10 + (chunk[i] - '0');
            } else if (child > 0) {
                act(child);
                child = 0;
            }
        }
    }
    close(fd);
}

static void kill_one(pid_t pid) { kill(pid, SIGKILL); }

static void kill_family(pid_t pid) {
    each_child(pid, kill_one);
    kill(pid, SIGKILL);
}

/// One round: our children and theirs. What is deeper becomes our child when its parent is gone (we are the
/// subreaper), and is met in a later round.
static void kill_round(struct guard *guard) {
    // A stopped postmaster starts no further children and reaps none, so that their numbers stay theirs.
    if (!guard->postgres.reaped) kill(guard->postgres.pid, SIGSTOP);
    each_child(getpid(), kill_family);
}

void postgres_kill(struct guard *guard) {
    lease_disarm(&guard->lease);
    if (guard->postgres.pid == 0 || guard->postgres.ending == ENDING_KILL) return;
    guard->postgres.ending = ENDING_KILL;
    kill_round(guard);
}

static void proven_dead(struct guard *guard) {
    struct postgres *postgres = &guard->postgres;
    bool killed = postgres->ending == ENDING_KILL;
    postgres->pid = 0;
    postgres->ending = ENDING_NONE;
    if (killed) postgres->killed_at = boottime();
    if (postgres->signal_fd >= 0) close(postgres->signal_fd);
    close(postgres->lock_fd);
    say(5, "Postgres %s; nothing of it is left (exit %d)", killed ? "killed" : "exited", postgres->exit_code);
    socket_event(guard, killed ? "killed" : "exited");
}

void postgres_settle(struct guard *guard) {
    struct postgres *postgres = &guard->postgres;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != postgres->pid || postgres->reaped) continue;
        postgres->reaped = postgres->has_exited = true;
        postgres->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        postgres->exited_at = boottime();
    }
    if (postgres->pid == 0) return;
    if (postgres->reaped && pid < 0 && errno == ECHILD) proven_dead(guard);
    // A postmaster that ended by itself may leave backends behind that go on committing.
    else if (postgres->reaped || postgres->ending == ENDING_KILL) kill_round(guard);
}

static char *survivors_text;
static size_t survivors_size;

static void note_survivor(pid_t pid) {
    uint64_t ticks;
    size_t used = strlen(survivors_text);
    snprintf(survivors_text + used, survivors_size - used, " %d(%c)", pid, process_stat(pid, &ticks));
}

void postgres_survivors(char *text, size_t size) {
    snprintf(text, size, "still there:");
    survivors_text = text;
    survivors_size = size;
    each_child(getpid(), note_survivor);
}
