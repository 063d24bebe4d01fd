#!/bin/bash
# vm.sh CMD ARG...   run CMD as root inside a real Debian kernel booted under QEMU, on this machine's own root
# filesystem (read-only, writes go to a tmpfs overlay); stdout, stderr and exit code are CMD's. Only $SHARE is writable.
#   KERNEL=6.1.0-56-cloud-amd64  a directory under $KERNELS (vmlinuz-*, modules/lib/modules/*)   FS=9p|virtiofs (auto)
#   MEM=1024 SMP=1 MACHINE=q35|microvm ACCEL=tcg|kvm (auto) TIMEOUT=120 SHARE=/dir  LOG=console log  ENVS="A B" passed on
# exit code: CMD's; 124 timeout; 125 the VM did not boot or died (console log printed to stderr)
set -uo pipefail
: "${KERNELS:=${XDG_CACHE_HOME:-$HOME/.cache}/netwright/kernels}" "${KERNEL:=6.1.0-56-cloud-amd64}" "${MEM:=1024}" "${SMP:=1}" "${TIMEOUT:=120}"
: "${MACHINE:=q35}" "${CPU:=max,-cx16}" "${SHARE:=}" "${ENVS:=}"
K=$KERNELS/$KERNEL; [ -e "$K/vmlinuz-$KERNEL" ] || { echo "vmtest: no kernel $K" >&2; exit 125; }
: "${ACCEL:=$(grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ] && echo kvm || echo tcg,thread=multi)}"
: "${FS:=$(grep -q '^CONFIG_9P_FS=' "$K/config-$KERNEL" && echo 9p || echo virtiofs)}"
T=$(mktemp -d -t vmtest.XXXXXX); pids=(); trap 'kill "${pids[@]}" 2>/dev/null; rm -rf "$T"' EXIT; : "${LOG:=$T/console}"
case $MACHINE in microvm) bus=device; M=microvm,rtc=on;; *) bus=pci; M=$MACHINE;; esac
# 1. base initramfs, cached by kernel+fs: busybox and the modules needed to mount the root
base=$K/initrd-$FS
if [ ! -e "$base" ]; then
  mkdir -p "$T/i"/{bin,m,dev,proc,lower,rw,new}; n=100
  cp "$(command -v busybox)" "$T/i/bin/busybox" || { echo "vmtest: apt-get install busybox-static first" >&2; exit 125; }
  # One that is not static needs its loader and libraries there.
  for lib in $(ldd "$T/i/bin/busybox" 2>/dev/null | grep -o '/[^ )]*'); do mkdir -p "$T/i${lib%/*}"; cp -L "$lib" "$T/i$lib"; done
  for m in virtio_pci virtio_mmio virtio_console overlay $([ $FS = 9p ] && echo 9pnet_virtio 9p || echo virtiofs); do
    while read -r _ f _; do b=$(basename "${f%.xz}"); [ -e "$T"/i/m/*-"$b" ] && continue
      n=$((n+1)); case $f in *.xz) xz -dc "$f" >"$T/i/m/$n-$b";; *) cp "$f" "$T/i/m/$n-$b";; esac
    done < <(modprobe -d "$K/modules" -S "$KERNEL" --show-depends "$m" 2>/dev/null | grep ^insmod)
  done
  cat >"$T/i/init" <<'I'
#!/bin/busybox sh
b=/bin/busybox; $b mount -t devtmpfs d /dev; $b mount -t proc p /proc
for m in /m/*.ko; do $b insmod $m; done; . /vars
mnt() { if [ $FS = 9p ]; then $b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,$3 $1 $2
  else $b mount -t virtiofs -o ${3%%,*} $1 $2; fi || echo "vmtest: cannot mount $1"; }
mnt root /lower ro,cache=loose; $b mount -t tmpfs -o size=80% t /rw; $b mkdir /rw/u /rw/w
$b mount -t overlay -o lowerdir=/lower,upperdir=/rw/u,workdir=/rw/w o /new
n=/new; $b mkdir -p $n/usr/lib/modules; mnt mods $n/usr/lib/modules ro,cache=loose
[ -z "$SHARE" ] || { $b mkdir -p "$n$SHARE"; mnt share "$n$SHARE" rw,cache=none; }
$b mount -t proc p $n/proc; $b mount -t sysfs s $n/sys; $b mount -t devtmpfs d $n/dev; $b mkdir -p $n/dev/pts $n/dev/shm
$b mount -t devpts p $n/dev/pts; for d in run dev/shm; do $b mount -t tmpfs t $n/$d; done
$b mount -t cgroup2 c $n/sys/fs/cgroup; $b mount -t debugfs d $n/sys/kernel/debug; $b mkdir -p $n/run/netns
$b cp /cmd $n/run/vmtest-cmd; exec $b switch_root $n /bin/bash /run/vmtest-cmd
I
  chmod +x "$T/i/init"; (cd "$T/i" && find . | cpio -o -H newc -R 0:0 2>/dev/null) >"$T/b" && mv "$T/b" "$base"
fi
# 2. this run's command, as a second cpio appended to the first
mkdir "$T/c"; printf 'FS=%q\nSHARE=%q\n' "$FS" "$SHARE" >"$T/c/vars"
{ printf 'export PATH=%q HOME=%q\n' "$PATH" "$HOME"; for v in $ENVS; do printf 'export %s=%q\n' "$v" "${!v-}"; done
  # What udev links.
  echo 'for f in 0/stdin 1/stdout 2/stderr; do ln -sfn /proc/self/fd/${f%/*} /dev/${f#*/}; done; ln -sfn /proc/self/fd /dev/fd'
  echo 'hostname vmtest; ip link set lo up; modprobe -qa tun mpls_router; p=/dev/virtio-ports; mkdir -p $p; for f in /sys/class/virtio-ports/*; do ln -sf ../${f##*/} $p/$(cat $f/name); done'
  printf 'date +%%s.%%N >$p/t0; cd %q; %s </dev/null >$p/out 2>$p/err; echo $? >$p/rc\n' "$PWD" "$(printf '%q ' "$@")"
  echo 'sync; echo 1 >/proc/sys/kernel/sysrq; echo b >/proc/sysrq-trigger; sleep 9'; } >"$T/c/cmd"
{ cat "$base"; (cd "$T/c" && find . | cpio -o -H newc -R 0:0 2>/dev/null); } >"$T/initrd"
# 3. the host's root, the kernel's modules and the shared directory as file systems
args=(); i=0
for s in "root:/:ro" "mods:$K/modules/lib/modules:ro" ${SHARE:+"share:$SHARE:rw"}; do IFS=: read -r tag dir mode <<<"$s"; i=$((i+1))
  if [ "$FS" = 9p ]; then
    args+=(-fsdev "local,id=f$i,path=$dir,security_model=none,multidevs=remap$([ $mode = ro ] && echo ,readonly=on)" -device "virtio-9p-$bus,fsdev=f$i,mount_tag=$tag")
  else
    v=$(ls /usr/lib/qemu/virtiofsd /usr/libexec/virtiofsd 2>/dev/null | head -1)
    "$v" --socket-path="$T/s$i" -o source="$dir" -o cache=always -o sandbox=chroot -f >"$T/v$i" 2>&1 & pids+=($!)
    for _ in {1..100}; do [ -S "$T/s$i" ] && break; sleep .02; done
    args+=(-chardev "socket,id=f$i,path=$T/s$i" -device "vhost-user-fs-$bus,chardev=f$i,tag=$tag")
  fi; done
args+=(-device "virtio-serial-$bus"); mkfifo "$T/out" "$T/err"; cat "$T/out" & c1=$!; cat "$T/err" >&2 & c2=$!
for p in out err rc t0; do
  args+=(-chardev "file,id=$p,path=$T/$p" -device "virtserialport,chardev=$p,name=$p"); done
timeout "$TIMEOUT" qemu-system-x86_64 -accel "$ACCEL" -M "$M,memory-backend=m" -cpu "$CPU" -smp "$SMP" -m "$MEM" \
  -object memory-backend-memfd,id=m,size="${MEM}M",share=on -nodefaults -display none -no-reboot -serial "file:$LOG" \
  -kernel "$K/vmlinuz-$KERNEL" -initrd "$T/initrd" -append "console=ttyS0 quiet panic=-1 reboot=t tsc=reliable ${APPEND:-}" "${args[@]}" </dev/null; q=$?; wait "$c1" "$c2"
[ $q = 124 ] && { echo "vmtest: timed out after $TIMEOUT s" >&2; exit 124; }
[ -s "$T/rc" ] || { echo "vmtest: $KERNEL did not run the command (qemu exit $q):" >&2; tail -n 40 "$LOG" "$T"/v? >&2; exit 125; }
exit "$(cat "$T/rc")"
