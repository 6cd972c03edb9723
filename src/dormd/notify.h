/* notify.h: telling a service manager that we are ready (sd_notify's datagram, without its
 * library). */
#pragma once

/* Nothing happens unless $NOTIFY_SOCKET says whom to tell; children do not inherit it. */
void notify_ready(void);
