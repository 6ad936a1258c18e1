#!/bin/busybox sh
# The first process of a guest. It loads the modules that the initramfs names and then does what the host says over
# the virtio-serial port vitrail.control: each line is a token and a command; the answer is what the command prints,
# then a line of its own with the token and the exit status. When the host is gone the guest powers itself off.
export PATH=/bin HOME=/tmp
/bin/busybox mkdir -p /proc /sys /dev /run /tmp
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t devpts devpts /dev/pts
for folder in /dev/shm /run /tmp; do mount -t tmpfs tmpfs $folder; done
ip link set lo up
for module in $(cat /etc/modules); do modprobe "$module" || echo "init: no module $module"; done
for port in /sys/class/virtio-ports/*; do
	[ "$(cat "$port/name")" = vitrail.control ] && control=/dev/${port##*/}
done
exec 3<>"$control"
echo ready >&3
while read -r token command <&3; do
	sh -c "$command" </dev/null >&3 2>&1 3>&-
	printf '\n%s %s\n' "$token" $? >&3
done
poweroff -f
