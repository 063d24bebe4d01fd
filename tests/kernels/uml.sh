#!/bin/bash
# uml.sh CMD ARG...   run CMD as root on a User Mode Linux kernel (a kernel that is a process), on this machine's own root file system (writes go to
# a tmpfs overlay); stdout, stderr and exit code are CMD's. Only $SHARE is writable. No root, no KVM; a process starts there about 5 times as slowly.
#   KERNEL=uml-6.1.176  a directory under $KERNELS, made by getkernel.sh (linux.uml, modules/lib/modules/*)   MEM=1024 TIMEOUT=120 SHARE=/dir
#   LOG=console log   ENVS="A B" passed on
# exit code: CMD's; 124 timeout; 125 the kernel did not boot or died (console log printed to stderr)
set -uo pipefail
: "${KERNELS:=${XDG_CACHE_HOME:-$HOME/.cache}/netwright/kernels}" "${MEM:=1024}" "${TIMEOUT:=120}" "${SHARE:=}" "${ENVS:=}"
K=$KERNELS/$KERNEL; [ -e "$K/linux.uml" ] || { echo "uml: no kernel $K" >&2; exit 125; }
T=$(mktemp -d -t uml.XXXXXX); trap 'rm -rf "$T"' EXIT; : "${LOG:=$T/console}"
mods=$(echo "$K"/modules/lib/modules/*)
cat >"$T/init" <<'I'
#!/bin/bash
# pid 1, on the machine's root through hostfs, read-only
b=/usr/bin/busybox; $b mount -t proc p /proc; T=$($b sed 's/.*vmtest=\([^ ]*\).*/\1/' /proc/cmdline); . "$T/vars"
die() { echo "uml: $1" >"$T/died"; $b poweroff -f; }
$b insmod "$mods/kernel/fs/overlayfs/overlay.ko" 2>/dev/null || $b insmod "$mods/kernel/fs/overlayfs/overlay.ko.xz" || die "no overlayfs"
$b mount -t tmpfs t /mnt; $b mkdir -p /mnt/rw/u /mnt/rw/w /mnt/new; n=/mnt/new
$b mount -t overlay -o lowerdir=/,upperdir=/mnt/rw/u,workdir=/mnt/rw/w o $n || die "cannot mount the overlay"
for dir in "$T" "$mods" ${SHARE:+"$SHARE"}; do
  at=$dir; [ "$dir" = "$mods" ] && at=/usr/lib/modules/$($b uname -r)
  $b mkdir -p "$n$at"; $b mount -t hostfs -o "$dir" none "$n$at" || die "cannot mount $dir"
done
$b mount -t proc p $n/proc; $b mount -t sysfs s $n/sys; $b mount -t devtmpfs d $n/dev; $b mkdir -p $n/dev/pts $n/dev/shm
$b mount -t devpts p $n/dev/pts; for d in run dev/shm; do $b mount -t tmpfs t $n/$d; done
$b mount -t cgroup2 c $n/sys/fs/cgroup; $b mkdir -p $n/run/netns
$b mount -t debugfs d $n/sys/kernel/debug; cd $n || die "no new root"
# Not only a chroot: the kernel forbids user namespaces to whoever is in one.
$b mkdir -p old; $b pivot_root . old || die "cannot make it the root"; $b umount -l /old; exec /bin/bash "$T/cmd"
I
chmod +x "$T/init"; chmod 755 "$T"; printf 'mods=%q\nSHARE=%q\n' "$mods" "$SHARE" >"$T/vars"
{ printf 'export PATH=%q HOME=%q\n' "$PATH" "$HOME"; for v in $ENVS; do printf 'export %s=%q\n' "$v" "${!v-}"; done
  # These kernels have no nft families: iptables is the old one.
  echo 'hostname vmtest; ip link set lo up; for f in iptables ip6tables; do [ -e /usr/sbin/$f-legacy ] && ln -sf /usr/sbin/$f-legacy /etc/alternatives/$f'
  echo 'for s in save restore; do [ -e /usr/sbin/$f-legacy-$s ] && ln -sf /usr/sbin/$f-legacy-$s /etc/alternatives/$f-$s; done; done; modprobe -qa tun mpls_router'
  # Who is not the machine's root cannot have them loaded.
  echo 'for t in filter nat mangle raw; do modprobe -qa iptable_$t ip6table_$t; done'
  printf 'cd %q; %s </dev/null >%s/out 2>%s/err; echo $? >%s/rc; sync; busybox poweroff -f\n' "$PWD" "$(printf '%q ' "$@")" "$T" "$T" "$T"; } >"$T/cmd"
touch "$T/out" "$T/err"; tail -qf --pid=$$ "$T/out" 2>/dev/null & t1=$!; tail -qf --pid=$$ "$T/err" >&2 2>/dev/null & t2=$!
TMPDIR=/dev/shm timeout "$TIMEOUT" "$K/linux.uml" mem="${MEM}M" root=/dev/root rootfstype=hostfs rootflags=/ ro init="$T/init" "vmtest=$T" \
  con=null con0=null,fd:1 quiet ${APPEND:-} </dev/null >"$LOG" 2>&1; q=$?
sleep 1; kill $t1 $t2 2>/dev/null; wait $t1 $t2 2>/dev/null
[ $q = 124 ] && { echo "uml: timed out after $TIMEOUT s" >&2; exit 124; }
[ -s "$T/rc" ] || { echo "uml: $KERNEL did not run the command (exit $q):" >&2; cat "$T/died" 2>/dev/null >&2; tail -n 40 "$LOG" >&2; exit 125; }
exit "$(cat "$T/rc")"
