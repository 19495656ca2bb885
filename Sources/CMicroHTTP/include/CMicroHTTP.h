// libmicrohttpd without its variadic functions: one call starts a server, one answers a request.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// A running server: one thread of its own, on epoll.
struct cmicrohttp_server;
/// One request, alive only while `answer` below runs.
struct cmicrohttp_request;

struct cmicrohttp_settings {
    /// Listening socket; closed by the server when it stops (not when it fails to start).
    int listener;
    /// Connections at a time; more wait in the kernel's queue.
    unsigned connections;
    /// Seconds without any progress after which a connection is closed.
    unsigned idle_seconds;
    /// Memory of one connection, which bounds the request's line and headers.
    size_t connection_bytes;
    size_t stack_bytes;
    /// Called on the server's thread for each request once its headers are complete; MUST call
    /// cmicrohttp_reply once.
    void (*answer)(void *context, const char *method, const char *path, struct cmicrohttp_request *request);
    /// Called with a line about a connection that failed.
    void (*complain)(void *context, const char *text);
    void *context;
};

/// Starts to serve; NULL with errno when the library cannot (no memory, no thread).
struct cmicrohttp_server *cmicrohttp_start(const struct cmicrohttp_settings *settings);
/// Ends all connections and the thread, and waits for that.
void cmicrohttp_stop(struct cmicrohttp_server *server);
/// Calls `each` for every argument after the "?" of the address, decoded; `value` is NULL without a "=".
void cmicrohttp_arguments(
    struct cmicrohttp_request *request, void *context,
    void (*each)(void *context, const char *name, const char *value));
/// Answers; `body` is copied. `allow` is NULL or the text of an Allow header. A HEAD request gets no body.
void cmicrohttp_reply(
    struct cmicrohttp_request *request, unsigned status, const char *type, const char *allow,
    const void *body, size_t length);
