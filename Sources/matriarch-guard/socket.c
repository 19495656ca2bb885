// What the agent may ask: one packet each way, in ASCII (docs/internals/guard.md, "Requests").
#define _GNU_SOURCE
#include "guard.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define KILL_ANSWER_AFTER (2 * SECOND)
#define STOP_BOUND_LIMIT 86400000

static void close_connection(struct guard *guard, struct connection *connection) {
    close(connection->fd);
    *connection = guard->connections[--guard->connection_count];
}

static int describe(const struct guard *guard, char *text, size_t size) {
    const struct postgres *postgres = &guard->postgres;
    const char *mode = guard->lease.epoch != 0 ? "primary" : postgres->pid != 0 ? "standby" : "stopped";
    static const char *const endings[] = {"none", "stop", "kill"};
    char exited[40] = "none";
    if (postgres->has_exited) {
        snprintf(exited, sizeof exited, "%d:%" PRId64, postgres->exit_code, postgres->exited_at);
    }
    return snprintf(text, size,
        "mode=%s epoch=%" PRIu64 " deadline=%" PRId64 " disarmed=%" PRIu64 " postmaster=%d start=%" PRIu64
        " exit=%s killed=%" PRId64 " ending=%s",
        mode, guard->lease.epoch, guard->lease.deadline, guard->lease.disarmed, postgres->pid,
        postgres->start_ticks, exited, postgres->killed_at, endings[postgres->ending]);
}

/// False when the peer does not read: it is then cut off, and reads the state when it comes again.
static bool send_line(struct connection *connection, const char *line, int length) {
    return send(connection->fd, line, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) == length;
}

static void answer(struct guard *guard, struct connection *connection, refusal why, bool pending) {
    char state[ANSWER_LIMIT / 2], line[ANSWER_LIMIT];
    describe(guard, state, sizeof state);
    int length, word = why == NULL ? 0 : (int)strcspn(why, " ");
    if (pending) length = snprintf(line, sizeof line, "PENDING %s why=%s", state, why);
    else if (why == NULL) length = snprintf(line, sizeof line, "OK %s", state);
    else length = snprintf(line, sizeof line, "ERR %.*s %s why=%s", word, why, state, why + word + 1);
    if (length >= (int)sizeof line) length = sizeof line - 1;
    if (!send_line(connection, line, length)) close_connection(guard, connection);
}

void socket_event(struct guard *guard, const char *what) {
    char state[ANSWER_LIMIT / 2], line[ANSWER_LIMIT];
    describe(guard, state, sizeof state);
    int length = snprintf(line, sizeof line, "EVENT %s %s", what, state);
    // Backwards, because a connection that is closed is replaced by the last one.
    for (int i = guard->connection_count - 1; i >= 0; i--) {
        if (!send_line(&guard->connections[i], line, length)) close_connection(guard, &guard->connections[i]);
    }
}

void socket_answer_kills(struct guard *guard) {
    for (int i = guard->connection_count - 1; i >= 0; i--) {
        struct connection *connection = &guard->connections[i];
        char survivors[ANSWER_LIMIT / 2];
        if (connection->kill_answer_by == 0) continue;
        bool late = boottime() >= connection->kill_answer_by;
        if (guard->postgres.pid != 0 && !late) continue;
        connection->kill_answer_by = 0;
        if (guard->postgres.pid != 0) postgres_survivors(survivors, sizeof survivors);
        answer(guard, connection, guard->postgres.pid != 0 ? survivors : NULL, guard->postgres.pid != 0);
    }
}

static bool next_number(char **cursor, uint64_t *number) {
    char *word = strsep(cursor, " "), *end;
    if (word == NULL || *word < '0' || *word > '9') return false;
    errno = 0;
    *number = strtoull(word, &end, 10);
    return errno == 0 && *end == 0 && *number <= INT64_MAX;
}

static refusal disarm(struct guard *guard, uint64_t epoch) {
    if (guard->lease.epoch == 0 && epoch <= guard->lease.disarmed) return NULL;
    if (epoch != guard->lease.epoch) return "stale another epoch is armed, or none";
    if (guard->postgres.pid != 0 && !postgres_is_standby(guard)) {
        return "writable Postgres may be a primary; stop or kill it first";
    }
    lease_disarm(&guard->lease);
    return NULL;
}

/// `start standby|primary` and its fields.
static refusal start(struct guard *guard, char *rest) {
    static char *fields[REQUEST_LIMIT / 4];
    const char separator[] = {FIELD_SEPARATOR, 0};
    char *kind = strsep(&rest, separator);
    int count = 0;
    bool standby = kind != NULL && strcmp(kind, "standby") == 0;
    bool known = standby || (kind != NULL && strcmp(kind, "primary") == 0);
    if (!known) return "malformed start standby or primary";
    for (char *field; (field = strsep(&rest, separator)) != NULL; fields[count++] = field) {
        bool variable = field[0] == 'e' && strchr(field, '=') != NULL;
        if (!variable && field[0] != 'a') return "malformed a field is a + argument or e + NAME=VALUE";
        if (count == (int)(sizeof fields / sizeof *fields)) return "malformed too many fields";
    }
    return postgres_start(guard, standby, fields, count);
}

static refusal hello(struct guard *guard, struct connection *connection, uint64_t session) {
    if (session < guard->newest_session) return "superseded a newer agent has taken over";
    guard->newest_session = connection->session = session;
    return NULL;
}

static refusal stop(struct guard *guard, char *rest) {
    char *how = strsep(&rest, " ");
    uint64_t milliseconds;
    bool fast = how != NULL && strcmp(how, "fast") == 0;
    if (how == NULL || (!fast && strcmp(how, "immediate") != 0)) return "malformed stop fast or immediate";
    bool bounded = next_number(&rest, &milliseconds) && milliseconds <= STOP_BOUND_LIMIT;
    if (!bounded) return "malformed a bound in milliseconds, at most a day";
    postgres_stop(guard, fast ? SIGINT : SIGQUIT, (int64_t)milliseconds * MILLISECOND);
    return NULL;
}

/// Commands other than `state` and `hello`, which anybody of our user may send.
static refusal command(struct guard *guard, const char *word, char *rest) {
    uint64_t epoch, deadline;
    if (strcmp(word, "start") == 0) return start(guard, rest);
    if (strcmp(word, "stop") == 0) return stop(guard, rest);
    if (!next_number(&rest, &epoch)) return "malformed unknown command, or no epoch";
    if (strcmp(word, "disarm") == 0) return disarm(guard, epoch);
    if (!next_number(&rest, &deadline)) return "malformed unknown command, or no deadline";
    if (strcmp(word, "renew") == 0) return lease_renew(&guard->lease, epoch, (int64_t)deadline);
    if (strcmp(word, "arm") != 0) return "malformed unknown command";
    if (guard->terminating) return "terminating the guard is about to end";
    if (guard->postgres.ending == ENDING_KILL) return "killing Postgres is being killed";
    return lease_arm(&guard->lease, epoch, (int64_t)deadline, boottime());
}

void socket_receive(struct guard *guard, struct connection *connection) {
    static char packet[REQUEST_LIMIT + 1];
    ssize_t count = recv(connection->fd, packet, REQUEST_LIMIT, MSG_DONTWAIT | MSG_TRUNC);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) {
        close_connection(guard, connection);
        return;
    }
    packet[count > REQUEST_LIMIT ? 0 : count] = 0;
    char *rest = packet, *word = strsep(&rest, " ");
    uint64_t session;
    refusal why = NULL;
    size_t length = strlen(word) + (rest != NULL ? strlen(rest) + 1 : 0);
    if (count > REQUEST_LIMIT || length != (size_t)count) {
        why = "malformed too long, or with a zero byte";
    } else if (strcmp(word, "hello") == 0) {
        why = next_number(&rest, &session) ? hello(guard, connection, session) : "malformed no session";
    } else if (strcmp(word, "state") != 0) {
        if (connection->session == 0) why = "hello say hello first";
        else if (connection->session < guard->newest_session) why = "superseded a newer agent has taken over";
        else if (strcmp(word, "kill") == 0) connection->kill_answer_by = boottime() + KILL_ANSWER_AFTER;
        else why = command(guard, word, rest);
    }
    if (connection->kill_answer_by == 0) {
        answer(guard, connection, why, false);
        return;
    }
    postgres_kill(guard);
    socket_answer_kills(guard);
}

void socket_accept(struct guard *guard) {
    int fd = accept4(guard->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t length = sizeof peer;
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
    if (peer.uid != geteuid() && peer.uid != 0) {
        say(4, "refused a connection of uid %u (process %d)", peer.uid, peer.pid);
        close(fd);
        return;
    }
    if (guard->connection_count == CONNECTION_LIMIT) {
        // Agents that hang keep their connections; the oldest one must not keep the newest out.
        struct connection *oldest = guard->connections;
        for (int i = 1; i < CONNECTION_LIMIT; i++) {
            if (guard->connections[i].session < oldest->session) oldest = &guard->connections[i];
        }
        close_connection(guard, oldest);
    }
    guard->connections[guard->connection_count++] = (struct connection){.fd = fd};
}

void socket_open(struct guard *guard) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(
        address.sun_path, sizeof address.sun_path, "%s/guard.sock", guard->options.runtime_directory);
    guard->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(address.sun_path);
    if (length >= (int)sizeof address.sun_path || guard->listener < 0
        || bind(guard->listener, (struct sockaddr *)&address, sizeof address) != 0
        || chmod(address.sun_path, guard->options.socket_mode) != 0 || listen(guard->listener, 8) != 0) {
        bool fits = length < (int)sizeof address.sun_path;
        say(3, "%s: %s", address.sun_path, fits ? strerror(errno) : "too long");
        exit(1);
    }
}
