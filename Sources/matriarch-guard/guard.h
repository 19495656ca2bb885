// The guard: parent of the postmaster, and the hand that ends it when its right to write is over.
// What it promises is in docs/internals/guard.md. Times are nanoseconds of CLOCK_BOOTTIME.
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define MILLISECOND INT64_C(1000000)
#define SECOND (1000 * MILLISECOND)
#define CONNECTION_LIMIT 16
#define REQUEST_LIMIT 32768
#define ANSWER_LIMIT 1024
/// Separates the arguments and variables of a `start` request.
#define FIELD_SEPARATOR '\x1f'

struct options {
    const char *runtime_directory, *data_directory, *postgres, *log_file;
    int64_t stop_bound;
    mode_t socket_mode;
};

/// Who may write until when. `epoch` 0: nobody.
struct lease {
    uint64_t epoch;
    int64_t deadline;
    /// The highest epoch that was ever disarmed: it and all before it are over for good.
    uint64_t disarmed;
};

enum ending { ENDING_NONE, ENDING_STOP, ENDING_KILL };

struct postgres {
    /// 0 is the proof of death: no descendant of this process is left.
    pid_t pid;
    bool reaped, as_standby;
    uint64_t start_ticks;
    /// standby.signal as it was at the start (-1: none), and the lock on the data directory.
    int signal_fd, lock_fd;
    enum ending ending;
    int64_t stop_at;
    bool has_exited;
    /// Exit status, or minus the signal.
    int exit_code;
    int64_t exited_at, killed_at;
};

struct connection {
    int fd;
    uint64_t session;
    /// When a `kill` that waits for its proof is answered at the latest; 0: none waits.
    int64_t kill_answer_by;
};

struct guard {
    struct options options;
    struct lease lease;
    struct postgres postgres;
    struct connection connections[CONNECTION_LIMIT];
    int connection_count, listener, timer, signals, inotify;
    uint64_t newest_session;
    bool terminating;
};

/// Refusals are "word explanation"; NULL is consent.
typedef const char *refusal;

int64_t boottime(void);
/// Writes one line to stderr if that does not block. `priority` is syslog's.
void say(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

refusal lease_arm(struct lease *lease, uint64_t epoch, int64_t deadline, int64_t now);
refusal lease_renew(struct lease *lease, uint64_t epoch, int64_t deadline);
void lease_disarm(struct lease *lease);

/// Starts Postgres. `fields`: `count` strings, 'a' + argument or 'e' + NAME=VALUE.
refusal postgres_start(struct guard *guard, bool standby, char **fields, int count);
void postgres_stop(struct guard *guard, int signal_number, int64_t bound);
/// Begins to end Postgres with all its descendants, and disarms; `postgres_settle` goes on with it.
void postgres_kill(struct guard *guard);
/// Reaps, goes on killing, and notices the proof of death.
void postgres_settle(struct guard *guard);
/// Whether Postgres is certainly in recovery: started as a standby, and never promoted since.
bool postgres_is_standby(const struct guard *guard);
bool standby_signal_exists(const struct guard *guard);
/// Names the processes that a kill has not ended yet.
void postgres_survivors(char *text, size_t size);

/// Ends what is over (lease, stop, standby without its signal file). MUST run before every request is
/// looked at.
void enforce(struct guard *guard);

void socket_open(struct guard *guard);
void socket_accept(struct guard *guard);
void socket_receive(struct guard *guard, struct connection *connection);
/// Tells every connection "EVENT `what` state".
void socket_event(struct guard *guard, const char *what);
/// Answers the kills that wait, as far as they are done or have waited long enough.
void socket_answer_kills(struct guard *guard);
