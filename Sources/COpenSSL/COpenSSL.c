#include "COpenSSL.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

// One suite: an external key is bound to the hash of its suite, and both sides are always us.
#define SUITE_NAME "TLS_AES_128_GCM_SHA256"
static const unsigned char SUITE_ID[2] = {0x13, 0x01};

// OpenSSL wants one to be set, and the same one in the key's session, when a context verifies its peers.
static const unsigned char SESSION_CONTEXT[] = "matriarch";

// OpenSSL gives an alert that came in the number of the alert plus this.
#define RECEIVED_ALERT_BASE 1000

struct psk_tls_context {
    SSL_CTX *ssl;
    BIO_METHOD *socket_method;
    uint8_t identity[PSK_TLS_MAX_IDENTITY_BYTES];
    size_t identity_bytes;
    uint8_t key[PSK_TLS_KEY_BYTES];
};

struct psk_tls_channel {
    psk_tls_context *context;
    SSL *ssl;
    int socket;
    int saw_end;
    int io_errno;
    int offered;        // listening side: an identity was offered
    int offered_ours;   // … and it was ours
    int failure;
    char reason[160];
};

// ── The socket, without SIGPIPE: OpenSSL's own socket BIO writes with write(2) ──

static int socket_write(BIO *bio, const char *data, int length) {
    psk_tls_channel *channel = BIO_get_data(bio);
    ssize_t sent;
    BIO_clear_retry_flags(bio);
    do
        sent = send(channel->socket, data, (size_t)length, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        BIO_set_retry_write(bio);
    else if (sent < 0)
        channel->io_errno = errno;
    return (int)sent;
}

static int socket_read(BIO *bio, char *data, int length) {
    psk_tls_channel *channel = BIO_get_data(bio);
    ssize_t got;
    BIO_clear_retry_flags(bio);
    do
        got = recv(channel->socket, data, (size_t)length, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        BIO_set_retry_read(bio);
    else if (got < 0)
        channel->io_errno = errno;
    else if (got == 0)
        channel->saw_end = 1;
    return (int)got;
}

static long socket_control(BIO *bio, int command, long number, void *pointer) {
    psk_tls_channel *channel = BIO_get_data(bio);
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_EOF:
        return channel->saw_end;
    case BIO_CTRL_FLUSH:
        return 1;
    default:
        return 0;
    }
}

static BIO_METHOD *make_socket_method(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "non-blocking socket");
    if (method == NULL) return NULL;
    if (!BIO_meth_set_write(method, socket_write) || !BIO_meth_set_read(method, socket_read) ||
        !BIO_meth_set_ctrl(method, socket_control)) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

// ── The key ──

// A session object for one handshake. Not shared between connections: OpenSSL writes to it.
static SSL_SESSION *session_of(const psk_tls_context *context, SSL *ssl) {
    const SSL_CIPHER *suite = SSL_CIPHER_find(ssl, SUITE_ID);
    SSL_SESSION *session = SSL_SESSION_new();
    if (session == NULL) return NULL;
    if (suite == NULL || !SSL_SESSION_set1_master_key(session, context->key, PSK_TLS_KEY_BYTES) ||
        !SSL_SESSION_set_cipher(session, suite) ||
        !SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) ||
        !SSL_SESSION_set1_id_context(session, SESSION_CONTEXT, sizeof SESSION_CONTEXT)) {
        SSL_SESSION_free(session);
        return NULL;
    }
    return session;
}

// Dialling side: which key to offer.
static int offer_key(SSL *ssl, const EVP_MD *digest, const unsigned char **identity, size_t *identity_bytes,
                     SSL_SESSION **session) {
    psk_tls_channel *channel = SSL_get_app_data(ssl);
    (void)digest;  // there is one suite, so one digest
    *session = session_of(channel->context, ssl);
    *identity = channel->context->identity;
    *identity_bytes = channel->context->identity_bytes;
    return *session != NULL;
}

// Listening side: which key an offered identity means. An unknown one is no error yet: the handshake goes
// on without a key and then fails, because we have no certificate.
static int find_key(SSL *ssl, const unsigned char *identity, size_t identity_bytes, SSL_SESSION **session) {
    psk_tls_channel *channel = SSL_get_app_data(ssl);
    const psk_tls_context *context = channel->context;
    *session = NULL;
    channel->offered = 1;
    if (identity_bytes != context->identity_bytes ||
        CRYPTO_memcmp(identity, context->identity, identity_bytes) != 0)
        return 1;
    channel->offered_ours = 1;
    *session = session_of(context, ssl);
    return *session != NULL;
}

// No certificate is ever good enough: without this a listener with any certificate and no secret would be
// believed.
static int refuse_certificate(X509_STORE_CTX *store, void *argument) {
    (void)argument;
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

// ── Context ──

static int configure(SSL_CTX *ssl) {
    SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_clear_options(ssl, SSL_OP_ALLOW_NO_DHE_KEX);  // always a fresh key exchange: forward secrecy
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ssl, refuse_certificate, NULL);
    SSL_CTX_set_psk_use_session_callback(ssl, offer_key);
    SSL_CTX_set_psk_find_session_callback(ssl, find_key);
    return SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) &&
           SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) && SSL_CTX_set_ciphersuites(ssl, SUITE_NAME) &&
           SSL_CTX_set1_groups_list(ssl, "X25519") && SSL_CTX_set_num_tickets(ssl, 0) &&
           SSL_CTX_set_max_early_data(ssl, 0) &&
           SSL_CTX_set_session_id_context(ssl, SESSION_CONTEXT, sizeof SESSION_CONTEXT);
}

static void say_why(char *reason, size_t reason_bytes) {
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    snprintf(reason, reason_bytes, "%s", text ? text : "unknown error");
    ERR_clear_error();
}

psk_tls_context *psk_tls_context_new(const uint8_t *identity, size_t identity_bytes, const uint8_t *key,
                                     char *reason, size_t reason_bytes) {
    if (identity_bytes == 0 || identity_bytes > PSK_TLS_MAX_IDENTITY_BYTES) {
        snprintf(reason, reason_bytes, "identity of %zu bytes", identity_bytes);
        return NULL;
    }
    psk_tls_context *context = calloc(1, sizeof *context);
    if (context == NULL) {
        snprintf(reason, reason_bytes, "out of memory");
        return NULL;
    }
    ERR_clear_error();
    memcpy(context->identity, identity, identity_bytes);
    context->identity_bytes = identity_bytes;
    memcpy(context->key, key, PSK_TLS_KEY_BYTES);
    context->socket_method = make_socket_method();
    context->ssl = SSL_CTX_new(TLS_method());
    if (context->socket_method == NULL || context->ssl == NULL || !configure(context->ssl)) {
        say_why(reason, reason_bytes);
        psk_tls_context_free(context);
        return NULL;
    }
    return context;
}

void psk_tls_context_free(psk_tls_context *context) {
    if (context == NULL) return;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->socket_method);
    OPENSSL_cleanse(context, sizeof *context);
    free(context);
}

// ── Channel ──

psk_tls_channel *psk_tls_channel_new(psk_tls_context *context, int socket, int dials) {
    psk_tls_channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL) return NULL;
    channel->context = context;
    channel->socket = socket;
    channel->ssl = SSL_new(context->ssl);
    BIO *bio = channel->ssl ? BIO_new(context->socket_method) : NULL;
    if (bio == NULL) {
        psk_tls_channel_free(channel);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, channel);
    BIO_set_init(bio, 1);
    SSL_set_bio(channel->ssl, bio, bio);
    SSL_set_app_data(channel->ssl, channel);
    if (dials)
        SSL_set_connect_state(channel->ssl);
    else
        SSL_set_accept_state(channel->ssl);
    return channel;
}

void psk_tls_channel_free(psk_tls_channel *channel) {
    if (channel == NULL) return;
    SSL_free(channel->ssl);
    free(channel);
}

static int fail(psk_tls_channel *channel, int failure, const char *reason) {
    channel->failure = failure;
    snprintf(channel->reason, sizeof channel->reason, "%s", reason);
    return PSK_TLS_FAILED;
}

// The alerts with which a listener answers a key that it does not know or that does not fit.
static int refuses_key(int alert) {
    return alert == SSL_AD_HANDSHAKE_FAILURE || alert == SSL_AD_ILLEGAL_PARAMETER ||
           alert == SSL_AD_DECRYPT_ERROR || alert == SSL_AD_UNKNOWN_PSK_IDENTITY;
}

// Classifies a protocol error. OpenSSL tells the listening side of an unknown identity only that no suite
// can be used, so what the callback saw decides there.
static int protocol_failed(psk_tls_channel *channel) {
    unsigned long code = ERR_peek_error();
    int number = ERR_GET_REASON(code);
    const char *text = ERR_reason_error_string(code);
    int failure = PSK_TLS_NOT_TLS;
    if (number == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        ERR_clear_error();
        return PSK_TLS_CLOSED;
    }
    if (number >= RECEIVED_ALERT_BASE)
        failure = refuses_key(number - RECEIVED_ALERT_BASE) ? PSK_TLS_REFUSED_US : PSK_TLS_NOT_TLS;
    else if (number == SSL_R_BINDER_DOES_NOT_VERIFY || (channel->offered && !channel->offered_ours))
        failure = PSK_TLS_OTHER_SECRET;
    else if (number == SSL_R_CERTIFICATE_VERIFY_FAILED || number == SSL_R_NO_SHARED_CIPHER ||
             number == SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM ||
             number == SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS)
        failure = PSK_TLS_NO_SECRET;
    fail(channel, failure, text ? text : "unknown TLS error");
    ERR_clear_error();
    return PSK_TLS_FAILED;
}

static int outcome(psk_tls_channel *channel, int returned) {
    switch (SSL_get_error(channel->ssl, returned)) {
    case SSL_ERROR_WANT_READ:
        return PSK_TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return PSK_TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return PSK_TLS_CLOSED;
    case SSL_ERROR_SYSCALL:
        return channel->io_errno ? PSK_TLS_LOST : PSK_TLS_CLOSED;
    default:
        return protocol_failed(channel);
    }
}

int psk_tls_handshake(psk_tls_channel *channel) {
    ERR_clear_error();
    int returned = SSL_do_handshake(channel->ssl);
    if (returned != 1) return outcome(channel, returned);
    // Belt and braces: no way is known to get here without the key.
    if (!SSL_session_reused(channel->ssl))
        return fail(channel, PSK_TLS_NO_SECRET, "the handshake ended without the shared secret");
    return PSK_TLS_DONE;
}

int psk_tls_read(psk_tls_channel *channel, void *buffer, int length) {
    ERR_clear_error();
    int count = SSL_read(channel->ssl, buffer, length);
    return count > 0 ? count : outcome(channel, count);
}

int psk_tls_write(psk_tls_channel *channel, const void *buffer, int length) {
    ERR_clear_error();
    int count = SSL_write(channel->ssl, buffer, length);
    return count > 0 ? count : outcome(channel, count);
}

void psk_tls_close(psk_tls_channel *channel) {
    ERR_clear_error();
    if (SSL_is_init_finished(channel->ssl)) SSL_shutdown(channel->ssl);
    ERR_clear_error();
}

int psk_tls_failure(const psk_tls_channel *channel) { return channel->failure; }
int psk_tls_errno(const psk_tls_channel *channel) { return channel->io_errno; }
const char *psk_tls_reason(const psk_tls_channel *channel) { return channel->reason; }

// ── Derivation ──

int psk_hkdf(const uint8_t *secret, size_t secret_bytes, const char *purpose, uint8_t *out,
             size_t out_bytes) {
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *state = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, "SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, secret_bytes),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)purpose, strlen(purpose)),
        OSSL_PARAM_construct_end(),
    };
    int done = state != NULL && EVP_KDF_derive(state, out, out_bytes, parameters) == 1;
    EVP_KDF_CTX_free(state);
    EVP_KDF_free(kdf);
    ERR_clear_error();
    return done;
}
