/* The tables are those of PostgreSQL itself, so that no password is hashed one way by its clients
 * and another way by us. */
#include "saslprep.h"

#include <common/saslprep.h>
#include <stdlib.h>

#include "base/mem.h"

char *saslprep(const char *password)
{
    char *prepared = NULL;

    switch (pg_saslprep(password, &prepared)) {
    case SASLPREP_SUCCESS:
        return prepared;
    case SASLPREP_OOM:
        abort();
    case SASLPREP_INVALID_UTF8:
    case SASLPREP_PROHIBITED:
        break;
    }
    return mem_copy(password);
}
