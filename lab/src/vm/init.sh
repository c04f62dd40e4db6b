#!/bin/busybox sh
# The first process of a lab's virtual machine: mounts, modules, then the task; how it ended goes to the second
# virtio port, and the machine ends. What the task says goes to the first; this script and the kernel use the console.
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for folder in /run /tmp /root /var; do mkdir -p $folder && mount -t tmpfs tmpfs $folder; done
mount -t debugfs debugfs /sys/kernel/debug
mount -t bpf bpf /sys/fs/bpf
for module in /modules/*.ko; do insmod "$module" || echo "init: $module does not load"; done
ip link set lo up

if [ -e /dev/vport0p1 ]; then
  sh /task </dev/null >/dev/vport0p1 2>&1
  echo $? >/dev/vport0p2
else # a shell on the console
  sh /task
fi
poweroff -f
