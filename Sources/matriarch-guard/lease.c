// Who may write until when: the rules alone, without clock or process.
#include "guard.h"

refusal lease_arm(struct lease *lease, uint64_t epoch, int64_t deadline, int64_t now) {
    if (deadline == 0) return "forever a lease without end is not supported";
    if (deadline <= now) return "late the deadline is not ahead";
    if (epoch == 0) return "epoch epochs begin at 1";
    if (epoch < lease->epoch) return "stale a newer epoch is armed";
    if (epoch <= lease->disarmed) return "over this epoch or a later one was disarmed";
    if (epoch == lease->epoch) return lease_renew(lease, epoch, deadline);
    lease->epoch = epoch;
    lease->deadline = deadline;
    return NULL;
}

refusal lease_renew(struct lease *lease, uint64_t epoch, int64_t deadline) {
    if (lease->epoch == 0) return "unarmed no epoch is armed";
    if (epoch != lease->epoch) return "stale another epoch is armed";
    if (deadline > lease->deadline) lease->deadline = deadline;
    return NULL;
}

void lease_disarm(struct lease *lease) {
    if (lease->epoch > lease->disarmed) lease->disarmed = lease->epoch;
    lease->epoch = 0;
    lease->deadline = 0;
}
