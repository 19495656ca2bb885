#!/bin/sh
# How late the guard wakes up, how long a kill with 50 busy sessions takes until its proof, and what it keeps in memory.
# As root it measures real-time scheduling too. The figures that count are kept in docs/internals/guard.md.
set -eu
cd "$(dirname "$0")/.."
MATRIARCH_BENCH=1 swift test --filter GuardBenchmark 2>/dev/null | grep -E 'µs|kB|left out'
