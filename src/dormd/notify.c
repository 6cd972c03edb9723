#include "notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"

void notify_ready(void)
{
    static const char ready[] = "READY=1";
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    AUTO_CLOSE int fd = -1;

    if (path == NULL || !str_copy(at.sun_path, sizeof(at.sun_path), path))
        return;
    if (at.sun_path[0] == '@')
        at.sun_path[0] = '\0'; /* an abstract name: its length counts, not its NUL */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)sendto(fd, ready, sizeof(ready) - 1, MSG_NOSIGNAL, (const struct sockaddr *)&at,
                     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    (void)unsetenv("NOTIFY_SOCKET");
}
