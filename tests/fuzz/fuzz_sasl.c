/* A client that logs in: first byte chooses the setup, then its messages one after the other. The
 * same bytes are read as a verifier too. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "pgwire/digest.h"
#include "pgwire/scram.h"
#include "pgwire/verifier.h"

#define PLUS_OFFERED (1u << 0)
#define NOBODY       (1u << 1)

static const uint8_t hash[32] = "the hash of a certificate ......";
static const char pencil[] = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
                             "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
                             "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

static void want(bool condition)
{
    if (!condition)
        abort();
}

static void check_why(const struct refusal *why)
{
    want(strlen(why->sqlstate) == 5 && why->message[0] != '\0');
    for (const char *c = why->message; *c != '\0'; c++)
        want((unsigned char)*c >= 0x20);
    for (const char *c = why->detail; *c != '\0'; c++)
        want((unsigned char)*c >= 0x20);
}

static struct scram *begin(unsigned setup, bool plus)
{
    return scram_new(&(struct scram_setup){
        .verifier = (setup & NOBODY) != 0 ? NULL : pencil,
        .mock_key = hash,
        .mock_key_len = sizeof(hash),
        .name = "user",
        .plus = plus,
        .cert_hash = (setup & PLUS_OFFERED) != 0 ? hash : NULL,
        .cert_hash_len = (setup & PLUS_OFFERED) != 0 ? sizeof(hash) : 0,
        .nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    });
}

static void converse(unsigned setup, const uint8_t *data, size_t len)
{
    enum scram_verdict verdict = SCRAM_CONTINUE;
    struct scram *s = NULL;
    struct refusal why;
    const char *reply;
    struct msg m;

    while (verdict == SCRAM_CONTINUE && msg_read(data, len, SASL_MESSAGE_MAX, &m) == MSG_WHOLE) {
        struct sasl_initial first = {.plus = false};
        int good = s == NULL ? msg_read_sasl_initial(&m, (setup & PLUS_OFFERED) != 0, &first, &why)
                             : msg_read_sasl(&m, &first.data, &first.len, &why);

        want(m.total <= len && m.body_len < SASL_MESSAGE_MAX);
        if (good < 0) {
            check_why(&why);
            break;
        }
        want(first.len <= m.body_len);
        if (s == NULL)
            s = begin(setup, first.plus);
        verdict = scram_step(s, first.data, first.len, &reply, &why);
        if (verdict == SCRAM_FAILED)
            check_why(&why);
        else
            want(strlen(reply) < 2000);
        data += m.total;
        len -= m.total;
    }
    want(verdict != SCRAM_OK || (setup & NOBODY) == 0);
    (void)scram_free(s);
}

/* What is taken as a verifier is written back the same, byte for byte. */
static void verifier(const uint8_t *data, size_t len)
{
    char *text = malloc(len + 1), again[SCRAM_VERIFIER_SIZE];
    struct scram_verifier v;
    struct err e;

    want(text != NULL);
    memcpy(text, data, len);
    text[len] = '\0';
    if (scram_verifier_parse(text, &v, &e) == 0) {
        want(v.iterations >= 1 && v.iterations <= SCRAM_ITERATIONS_MAX && v.salt_len >= 1);
        verifier_write(&v, again);
        want(strcmp(text, again) == 0);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    converse(data[0], data + 1, len - 1);
    verifier(data + 1, len - 1);
    return 0;
}
