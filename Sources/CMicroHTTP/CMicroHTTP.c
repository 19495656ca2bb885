#include "CMicroHTTP.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct cmicrohttp_server {
    struct MHD_Daemon *daemon;
    struct cmicrohttp_settings settings;
};

struct cmicrohttp_request {
    struct MHD_Connection *connection;
    enum MHD_Result result;
};

static bool has_body(struct MHD_Connection *connection) {
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH) ||
           MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING);
}

// The library calls once after the headers and once after the body. An answer to the first call closes the
// connection: right for a request with a body, which nobody here reads; the others may go on.
static enum MHD_Result handle(
    void *context, struct MHD_Connection *connection, const char *path, const char *method,
    const char *version, const char *upload, size_t *upload_size, void **state) {
    (void)version, (void)upload, (void)upload_size;
    struct cmicrohttp_server *server = context;
    if (!*state && !has_body(connection)) {
        *state = server;
        return MHD_YES;
    }
    struct cmicrohttp_request request = {.connection = connection, .result = MHD_NO};
    server->settings.answer(server->settings.context, method, path, &request);
    return request.result;
}

__attribute__((format(printf, 2, 0)))
static void complain(void *context, const char *format, va_list arguments) {
    struct cmicrohttp_server *server = context;
    char text[512];
    vsnprintf(text, sizeof text, format, arguments);
    server->settings.complain(server->settings.context, text);
}

// "%00" must not end a path or a value early: what comes after it would not be looked at.
static size_t unescape(void *context, struct MHD_Connection *connection, char *text) {
    (void)context, (void)connection;
    size_t length = MHD_http_unescape(text);
    for (size_t i = 0; i < length; i++) {
        if (text[i] == 0) text[i] = 1;
    }
    return length;
}

struct cmicrohttp_server *cmicrohttp_start(const struct cmicrohttp_settings *settings) {
    struct cmicrohttp_server *server = calloc(1, sizeof *server);
    if (!server) return NULL;
    server->settings = *settings;
    errno = 0;
    // The logger comes first, so that it also hears what is wrong with the options after it.
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle, server,
        MHD_OPTION_EXTERNAL_LOGGER, complain, server,
        MHD_OPTION_LISTEN_SOCKET, settings->listener,
        MHD_OPTION_CONNECTION_LIMIT, settings->connections,
        MHD_OPTION_CONNECTION_TIMEOUT, settings->idle_seconds,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, settings->connection_bytes,
        MHD_OPTION_THREAD_STACK_SIZE, settings->stack_bytes,
        MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL,
        MHD_OPTION_END);
    if (server->daemon) return server;
    int code = errno;
    free(server);
    errno = code ? code : ENOMEM;
    return NULL;
}

void cmicrohttp_stop(struct cmicrohttp_server *server) {
    MHD_stop_daemon(server->daemon);
    free(server);
}

struct visitor {
    void *context;
    void (*each)(void *context, const char *name, const char *value);
};

static enum MHD_Result visit(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
    (void)kind;
    struct visitor *visitor = context;
    visitor->each(visitor->context, name, value);
    return MHD_YES;
}

void cmicrohttp_arguments(
    struct cmicrohttp_request *request, void *context,
    void (*each)(void *context, const char *name, const char *value)) {
    struct visitor visitor = {context, each};
    MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND, visit, &visitor);
}

void cmicrohttp_reply(
    struct cmicrohttp_request *request, unsigned status, const char *type, const char *allow,
    const void *body, size_t length) {
    struct MHD_Response *response =
        MHD_create_response_from_buffer(length, (void *)body, MHD_RESPMEM_MUST_COPY);
    if (!response) return;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    // A check that comes through a cache is no check.
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (allow) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
    request->result = MHD_queue_response(request->connection, status, response);
    MHD_destroy_response(response);
}
