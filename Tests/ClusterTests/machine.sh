# shellcheck shell=bash
# A machine of its own for somebody who types what the manual says: own host name, own /etc, /usr, /var and /run over
# the real ones, inside a network namespace. Sourced with ROOM (a directory that is ours) and NAME set; what it
# stands in for is a package manager and systemd as process 1.
set -eu
hostname "$NAME"
mount --make-rprivate /
for place in etc usr var; do
    mkdir -p "$ROOM/$place" "$ROOM/$place.work"
    mount -t overlay overlay -o "lowerdir=/$place,upperdir=$ROOM/$place,workdir=$ROOM/$place.work" "/$place"
done
mount -t tmpfs tmpfs /run

unit=/etc/systemd/system/matriarchd.service

# What a unit's line says.
said() { sed -n "s/^$1=//p" "$unit"; }

# The packages are here already.
apt-get() { :; }

systemctl() {
    case "$*" in
        "enable --now matriarchd")
            # shellcheck disable=SC2046  # a command line is meant to be split
            setpriv --reuid="$(said User)" --regid="$(said User)" --init-groups $(said ExecStart) \
                >> "$ROOM/agent.log" 2>&1 &
            agent=$!
            # As Type=notify: it is started when it says so.
            until [ -S /run/matriarch/control.sock ]; do kill -0 "$agent"; sleep 0.1; done ;;
        "reload matriarchd") MAINPID=$agent sh -c "$(said ExecReload)" ;;
        "kill --kill-whom=main -s SIGUSR1 matriarchd") kill -USR1 "$agent" ;;
        "stop matriarchd") kill -TERM "$agent"; wait "$agent" ;;
        *) echo "the manual says 'systemctl $*', which is not known here" >&2; exit 1 ;;
    esac
}

# Waits until all three members are in order.
whole() {
    set +x
    for _ in $(seq 600); do
        if [ "$(matriarch status | grep -c '^pg[1-3] *started .* 3 total, 3 passing')" = 3 ]; then set -x; return 0; fi
        sleep 0.1
    done
    echo "not all of three members are in order:" >&2
    matriarch status >&2
    exit 1
}

primary() { matriarch status | sed -n 's/^Primary \([^ ]*\) .*/\1/p'; }
