// TLS 1.3 between two holders of one secret, for sockets that never block.
//
// Everything of OpenSSL that the agents' links need, behind eleven functions: macros, C callbacks and the
// thread's error queue stay in COpenSSL.c, and no OpenSSL type is seen by Swift. A context may be shared by
// threads; a channel belongs to one thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PSK_TLS_KEY_BYTES 32
#define PSK_TLS_MAX_IDENTITY_BYTES 128

typedef struct psk_tls_context psk_tls_context;
typedef struct psk_tls_channel psk_tls_channel;

// What a call on a channel came to. A count of bytes is positive.
enum psk_tls_result {
    PSK_TLS_DONE = 0,
    PSK_TLS_WANT_READ = -1,   // call again once the socket is readable
    PSK_TLS_WANT_WRITE = -2,  // call again once the socket is writable
    PSK_TLS_CLOSED = -3,      // the other side ended the connection, with or without saying so
    PSK_TLS_LOST = -4,        // the socket failed: psk_tls_errno
    PSK_TLS_FAILED = -5,      // the TLS protocol failed: psk_tls_reason, psk_tls_failure
};

// Why a channel failed, as far as it can be known; valid after PSK_TLS_FAILED.
enum psk_tls_failure {
    PSK_TLS_NOT_TLS = 1,       // what came in is no TLS 1.3, or no sound one
    PSK_TLS_NO_SECRET = 2,     // sound TLS from somebody who offers no shared secret
    PSK_TLS_OTHER_SECRET = 3,  // a shared secret, but not ours
    PSK_TLS_REFUSED_US = 4,    // the other side sent an alert: it does not accept our secret
};

// Makes the context of one secret. `identity` names the key in clear text on the wire, so it must not give
// the key away. NULL when OpenSSL refuses; `reason` (of `reason_bytes`) then says why.
psk_tls_context *psk_tls_context_new(const uint8_t *identity, size_t identity_bytes, const uint8_t *key,
                                     char *reason, size_t reason_bytes);
void psk_tls_context_free(psk_tls_context *context);

// Makes a channel over a connected, non-blocking socket; the socket stays the caller's and MUST outlive the
// channel. `dials` is 1 for the side that connected. NULL when memory is out.
psk_tls_channel *psk_tls_channel_new(psk_tls_context *context, int socket, int dials);
void psk_tls_channel_free(psk_tls_channel *channel);

// One step of the handshake. PSK_TLS_DONE means that both sides have proven that they hold the key.
int psk_tls_handshake(psk_tls_channel *channel);

// Bytes read or written (at least one), or a psk_tls_result. A write that wants more MUST be repeated with
// the same bytes first; the buffer may have moved.
int psk_tls_read(psk_tls_channel *channel, void *buffer, int length);
int psk_tls_write(psk_tls_channel *channel, const void *buffer, int length);

// Says goodbye if the socket takes it at once; never waits for the answer.
void psk_tls_close(psk_tls_channel *channel);

int psk_tls_failure(const psk_tls_channel *channel);
int psk_tls_errno(const psk_tls_channel *channel);
const char *psk_tls_reason(const psk_tls_channel *channel);

// HKDF with SHA-256 (RFC 5869), no salt: one secret gives unrelated keys for unrelated `purpose`s. 1 when
// done.
int psk_hkdf(const uint8_t *secret, size_t secret_bytes, const char *purpose, uint8_t *out, size_t out_bytes);
